"""`ringlite doctor`: what a run needs of this machine, each as a line that is good or says what to do."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.engine import INSTALL, fault_of, vllm_version
from ringlite_cli.problems import Problem
from ringlite_cli.shipped.tested import outside
from ringlite_cli.stages.commands.answers import answer
from ringlite_cli.train.engine.own_server import free_port

Finding = tuple[bool, str]
_NEEDED = ("trl", "transformers", "accelerate", "datasets", "peft")
_CURE = '`pip install -c "$(ringlite constraints)" ringlite` installs what was tested'


def examine(console: Console) -> bool:
    """Print every finding; return whether nothing stands in the way."""
    rows = []
    for check in CHECKS:
        for fine, text in _findings(check):
            rows.append({"check": check.__name__.removeprefix("_"), "ok": fine, "text": text})
            if not console.wants_json:
                console.answer(f"{'ok  ' if fine else 'BAD '} {text}")
    good = all(row["ok"] for row in rows)
    said = "nothing stands in the way" if good else "the lines marked BAD say what to do"
    answer(console, "doctor", {"ok": good, "findings": rows}, said)
    return good


def _findings(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # one thing that is broken must not hide the others
        name, said = check.__name__.removeprefix("_"), str(error).strip().splitlines()
        yield False, f"{name}: {said[0] if said else type(error).__name__}"


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield sys.version_info >= (3, 11), f"Python {version}" + ("" if sys.version_info >= (3, 11) else ": 3.11 or newer")


def _packages() -> Iterator[Finding]:
    for name in _NEEDED:
        version = _version(name)
        if version is None:
            yield False, f"{name} is missing; {_CURE}"
        else:
            yield _tested(name, version)


def _tested(name: str, version: str) -> Finding:
    """Return a line about a package's version; one outside what was tested is no good one."""
    text = outside({name: version}).get(name)
    return (False, f"{name} {text}; {_CURE}") if text else (True, f"{name} {version}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch() -> Iterator[Finding]:
    import torch

    fine, text = _tested("torch", torch.__version__)
    yield fine, text if not fine else f"{text}, {torch.get_num_threads()} threads"
    if not torch.cuda.is_available():
        built = torch.version.cuda
        yield True, "no GPU" + (f" (torch is built for CUDA {built}, and finds no driver or device)" if built else "")
        return
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        text = f"GPU {index}: {name}, CUDA {torch.version.cuda}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        fine = free > 0.5 * total
        yield fine, text + ("" if fine else ": something else holds its memory; `nvidia-smi` says what")


def _vllm() -> Iterator[Finding]:
    version = vllm_version()
    if version is None:
        yield True, "no vLLM: transformers generates the rollouts, which is slower"
        return
    if fault := fault_of(version):
        yield False, f"{fault}; {INSTALL}"
        return
    yield True, f"vLLM {outside({'vllm': version}).get('vllm', version)}"


def _memory() -> Iterator[Finding]:
    import psutil

    available = psutil.virtual_memory().available / 2**30
    fine = available > 2
    yield fine, f"{available:,.1f} GiB of memory free" + ("" if fine else ": the demo needs 2 GiB")


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield free > 1, f"{free:,.0f} GiB of disk free here" + ("" if free > 1 else ": the demo alone needs 1 GiB")


def _bubblewrap() -> Iterator[Finding]:
    from ringlite_cli.sandbox.ladder import find_isolation

    reached, why = find_isolation()
    advice = f": {why or ', '.join(reached.missing)}; `rewards.isolation: {reached.level}` accepts it"
    yield reached.level == "full", f"isolation of code: {reached.level}" + ("" if reached.level == "full" else advice)


def _sandbox() -> Iterator[Finding]:
    from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings

    tests = {"mode": "function", "language": "python", "entry_point": "f", "cases": [{"args": [2], "expected": 4}]}
    problem = Problem("doctor", "code", "double x", tests=tests)
    with Verifiers(VerifierSettings(workers=1)) as verify:
        verdict = verify([(problem, "```python\ndef f(x):\n    return 2 * x\n```")])[0]
    yield verdict.reward == 1.0, f"sandbox: a program ran in full isolation, verdict {verdict.verdict}"


def _math() -> Iterator[Finding]:
    from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings

    problem = Problem("doctor", "math", "", answer="\\frac{1}{2}")
    with Verifiers(VerifierSettings(workers=1, isolation="none")) as verify:
        verdict = verify([(problem, "\\boxed{0.5}")])[0]
    yield verdict.reward == 1.0, f"math verifier: 1/2 against 0.5, verdict {verdict.verdict}"


_RANK = """
import os, torch, torch.distributed as dist
cuda = torch.cuda.device_count() > 1
dist.init_process_group("nccl" if cuda else "gloo")
rank = dist.get_rank()
if cuda: torch.cuda.set_device(rank)
x = torch.full((1,), rank + 1.0, device="cuda" if cuda else "cpu")
dist.all_reduce(x)
dist.destroy_process_group()
raise SystemExit(0 if x.item() == 3.0 else 1)
"""


def _ranks() -> Iterator[Finding]:
    """Two processes add 1 and 2 over the network stack that distributed training uses."""
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", _RANK],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=120)[1] for rank in ranks]
    except subprocess.TimeoutExpired:
        yield (
            False,
            "two ranks did not find each other in 120 s: is the loopback interface up, or a firewall in the way?",
        )
        return
    finally:
        for rank in ranks:
            rank.kill()
    fine = all(rank.returncode == 0 for rank in ranks)
    last = next((text.strip().splitlines()[-1] for text in said if text.strip()), "no message")
    yield fine, "two ranks added up a tensor" if fine else f"two ranks could not work together ({last})"


CHECKS = (_python, _packages, _torch, _vllm, _memory, _disk, _bubblewrap, _sandbox, _math, _ranks)
