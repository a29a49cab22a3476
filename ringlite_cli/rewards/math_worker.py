"""A process that compares answers with Math-Verify and can be stopped. Run as a script; imports only math_verify.

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
from typing import Any

_PR_SET_PDEATHSIG = 1


def compare(golds: list[str], answer: str) -> tuple[str, str]:
    """Math-Verify's verdict (correct, wrong or unparsed) and a detail, over the alternatives in `golds`."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    configs = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    options: dict[str, Any] = {"parsing_timeout": None, "raise_on_error": False}
    parsed = parse(f"$\\boxed{{{answer}}}$", configs, **options) or parse(answer, configs, **options)
    if not parsed:
        return "unparsed", f"not an expression: {answer[:80]}"
    understood = False
    for gold in golds:
        target = parse(f"${gold}$", configs, **options) or parse(gold, configs, **options)
        understood = understood or bool(target)
        if target and verify(target, parsed, timeout_seconds=None, raise_on_error=False):
            return "correct", ""
    if not understood:
        return "wrong", f"the gold answer is not an expression: {golds[0][:80]}"
    return "wrong", f"expected {golds[0][:80]}, got {answer[:80]}"


def _compute(read: int, write: int, memory: int, parent: int) -> None:
    """The child: answers line by line until the pipe closes."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in os.fdopen(read, "rb"):
        request = json.loads(line)
        try:
            verdict, detail = compare(request["golds"], request["answer"])
        except MemoryError:
            verdict, detail = "timeout", "out of memory"
        except Exception as error:  # of the comparison, on this answer: it is not a correct one
            verdict, detail = "unparsed", f"{type(error).__name__}: {str(error)[:200]}"
        os.write(write, json.dumps({"verdict": verdict, "detail": detail}).encode() + b"\n")
    os._exit(0)


class _Child:
    def __init__(self, memory: int) -> None:
        ask_read, self.ask = os.pipe()
        self.reply, reply_write = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.ask)
            os.close(self.reply)
            try:
                _compute(ask_read, reply_write, memory, parent)
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
    """argv: the child's memory limit in bytes. Reads requests {"golds", "answer", "seconds"} on stdin, a line each."""
    import logging

    logging.disable(logging.CRITICAL)
    sys.setrecursionlimit(3000)
    compare(["\\frac{1}{2}"], "0.5")  # loads what is loaded late
    memory = int(sys.argv[1])
    child = _Child(memory)
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
                child = _Child(memory)
                verdict = (
                    {"verdict": "timeout", "detail": "time"}
                    if reply is None
                    else {"verdict": "error", "detail": "died"}
                )
                reply = json.dumps(verdict).encode() + b"\n"
            os.write(1, reply)


if __name__ == "__main__":
    main()
