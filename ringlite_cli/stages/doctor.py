"""`ringlite doctor`: what a run needs of this machine, each as a line that is good or says what to do."""

import importlib.metadata
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import RingliteError
from ringlite_cli.problems import Problem

Finding = tuple[bool, str]


def examine(console: Console) -> bool:
    """Prints every finding; True where nothing stands in the way."""
    good = True
    for check in (_python, _packages, _torch, _disk, _sandbox, _math):
        for fine, text in _findings(check):
            good &= fine
            console.say(f"{'ok  ' if fine else 'BAD '} {text}")
    return good


def _findings(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except (RingliteError, ImportError, OSError) as error:
        yield False, f"{check.__name__.removeprefix('_')}: {error}"


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield sys.version_info >= (3, 11), f"Python {version}" + ("" if sys.version_info >= (3, 11) else ": 3.11 or newer")


def _packages() -> Iterator[Finding]:
    for name, wanted in (("trl", "1.16."), ("transformers", "5."), ("math-verify", "0.")):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield False, f"{name} is missing: `make setup` installs it"
            continue
        fits = version.startswith(wanted)
        yield fits, f"{name} {version}" + ("" if fits else f": ringlite needs {wanted}*; `make setup` installs it")


def _torch() -> Iterator[Finding]:
    import torch

    cuda = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else "no GPU"
    yield True, f"torch {torch.__version__}, {cuda}, {torch.get_num_threads()} threads"


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield free > 1, f"{free:,.0f} GiB of disk free here" + ("" if free > 1 else ": the demo alone needs 1 GiB")


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
