"""Failures, each with the exit code that it ends the process with.

A `UserError` says what is wrong, where, and what to do next; the CLI prints it as one message and never as a
traceback. Anything else that escapes is a bug and keeps its traceback.
"""

import errno
from collections.abc import Iterable
from difflib import get_close_matches


def near(
    name: object, known: Iterable[str], otherwise: str = "", *, most: int = 1, cutoff: float = 0.6, prefix: str = ""
) -> str:
    """Return a question after the known names that are most like an unknown one, or `otherwise` where none is.

    most: names to ask after. cutoff: the least similarity, from 0 to 1. prefix: put before each name in the question.

    >>> near("sammples", ["samples", "steps"])
    "did you mean 'samples'?"
    """
    found = [repr(prefix + each) for each in get_close_matches(str(name), list(known), most, cutoff)]
    return f"did you mean {' or '.join(found)}?" if found else otherwise


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, 300 characters at most; its kind where it says nothing."""
    return str(error).strip().split("\n")[0][:300] or type(error).__name__


def one_line(error: BaseException) -> str:
    """Return all that an error says as one line, 300 characters at most: where its first line alone says nothing."""
    return " ".join(str(error).split())[:300] or type(error).__name__


class RingliteError(Exception):
    """Base of all failures that the CLI reports by message alone."""

    exit_code = 1


class UserError(RingliteError):
    """The user's input is wrong (recipe, data, flags) and the user can mend it: exit code 2.

    `where` names the file, key or flag, `what` the fault, `hint` the next thing to do.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__((f"{where}: " if where else "") + what + (f"; {hint}" if hint else ""))


class RecipeErrors(UserError):
    """Every fault of one recipe, reported together."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


class WorkFailed(RingliteError):
    """The input was fine but the work was not: a full disk, a dead worker, a diverged run. Exit code 1."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__((f"{where}: " if where else "") + what + (f"; {hint}" if hint else ""))


OF_USER = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST)
"""Errors of the file system that the user can mend: permissions, and a file where a folder is meant. A file system that
became read-only is the machine's, as a full disk is."""


def not_done(what: str, error: OSError, *, where: str) -> RingliteError:
    """Return the failure of a file operation: the user's to mend, or the machine's. what: what can't be done."""
    kind = UserError if error.errno in OF_USER else WorkFailed
    return kind(f"{what} ({error.strerror or error})", where=where)


class FirstRankEnded(WorkFailed):
    """The first rank of a launch failed or was stopped, and says why itself: the others end without a word."""


class RankLost(WorkFailed):
    """The connection to another rank of a launch ended: that rank has the cause, and this one its consequence."""


class Diverged(WorkFailed):
    """Training came to a loss or a policy that is no number, in the optimizer step `step`."""

    def __init__(self, what: str, step: int, *, hint: str) -> None:
        super().__init__(what, hint=hint)
        self.what, self.step = what, step


class Interrupted(RingliteError):
    """The user stopped the work; what is done is on disk and the same command goes on. Exit code 130."""

    exit_code = 130
