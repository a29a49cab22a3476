"""A process that compares answers and can be stopped: by the reader of answers, ROUGE or a reward of the user's own.

Run as a script.

Two processes: this one waits with a clock, a forked child computes. A child that exceeds the time is killed and a
fresh one forked, in milliseconds, since the import is already paid. Both end when the pipe from the parent closes.
"""

import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script, it imports its own package

_PR_SET_PDEATHSIG = 1


def compare(golds: list[str], answer: str, tolerance: float = 0.0) -> tuple[str, str]:
    """Return the reader's verdict (correct, wrong or unparsed) and a detail, over the alternatives in `golds`."""
    from ringlite_cli.rewards.reading.verdict import judge

    return judge(golds, answer, tolerance)


def rouge_score(golds: list[str], answer: str) -> tuple[str, str]:
    """The likeness of a response to its references, by ROUGE."""
    from ringlite_cli.rewards.references import rouge

    return rouge(golds, answer)


COMPARISONS: dict[str, Any] = {"math": compare, "rouge": rouge_score}


def _comparison(kind: str) -> Any:
    if ":" not in kind:
        return COMPARISONS[kind]
    from ringlite_cli.rewards.own import scorer

    return scorer(kind)


def _warm(kind: str) -> None:
    """Load what is loaded late, once, before children are forked."""
    if kind == "math":
        _close_sympy()
        compare(["\\frac{1}{2}"], "0.5")
    elif kind == "rouge":
        rouge_score(["a word"], "a word")
    elif ":" in kind:
        _comparison(kind)


def _close_sympy() -> None:
    """Keep sympy's parsers, which evaluate the text they read, to expressions."""
    import importlib.util

    path = os.path.join(os.path.dirname(__file__), os.pardir, "sandbox", "guest", "closed_eval.py")
    spec = importlib.util.spec_from_file_location("closed_eval", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.close_sympy()


def _compute(read: int, write: int, memory: int, parent: int, kind: str) -> None:
    """The child: answers line by line until the pipe closes."""
    if sys.platform == "linux":  # elsewhere it ends when its pipe does, and memory cannot be limited so
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if os.getppid() != parent:
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    comparison = _comparison(kind)
    for line in os.fdopen(read, "rb"):
        request = json.loads(line)
        try:
            more = (request.get("tolerance", 0.0),) if kind == "math" else ()
            verdict, detail = comparison(request["golds"], request["answer"], *more)
        except MemoryError:
            verdict, detail = "timeout", "out of memory"
        except Exception as error:  # of the comparison, on this answer: it is not a correct one
            verdict, detail = "unparsed", f"{type(error).__name__}: {str(error)[:200]}"
        os.write(write, json.dumps({"verdict": verdict, "detail": detail}).encode() + b"\n")
    os._exit(0)


class _Child:
    def __init__(self, memory: int, kind: str) -> None:
        ask_read, self.ask = os.pipe()
        self.reply, reply_write = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.ask)
            os.close(self.reply)
            try:
                _compute(ask_read, reply_write, memory, parent, kind)
            finally:
                os._exit(1)
        os.close(ask_read)
        os.close(reply_write)

    def end(self) -> int:
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.ask)
        os.close(self.reply)
        return os.waitpid(self.pid, 0)[1]


def _answer(child: _Child, line: bytes, seconds: float) -> bytes | None:
    """The child's reply; b"" when it died; None when it took longer than `seconds`."""
    deadline, reply = time.monotonic() + seconds, b""
    view = memoryview(line)
    try:
        while view:
            view = view[os.write(child.ask, view) :]
    except BrokenPipeError:
        return b""
    while not reply.endswith(b"\n"):
        ready, _, _ = select.select([child.reply, 0], [], [], max(0.0, deadline - time.monotonic()))
        if 0 in ready:  # the parent sends nothing while it waits: this is its end
            child.end()
            os._exit(0)
        if not ready:
            return None
        part = os.read(child.reply, 65536)
        if not part:
            return b""
        reply += part
    return reply


def main() -> None:
    """argv: the child's memory limit in bytes, the kind of comparison.

    Reads requests {"golds", "answer", "seconds"} on stdin, a line each.
    """
    import logging

    logging.disable(logging.CRITICAL)
    sys.setrecursionlimit(3000)
    memory, kind = int(sys.argv[1]), sys.argv[2]
    _warm(kind)
    child = _Child(memory, kind)
    os.write(1, b"ready\n")
    buffer = b""
    while True:
        part = os.read(0, 1 << 20)
        if not part:
            child.end()
            return
        buffer += part
        while b"\n" in buffer:
            line, buffer = buffer.split(b"\n", 1)
            reply = _answer(child, line + b"\n", json.loads(line)["seconds"])
            if not reply:
                child.end()
                child = _Child(memory, kind)
                verdict = (
                    {"verdict": "timeout", "detail": "time"}
                    if reply is None
                    else {"verdict": "error", "detail": "died"}
                )
                reply = json.dumps(verdict).encode() + b"\n"
            os.write(1, reply)


if __name__ == "__main__":
    main()
