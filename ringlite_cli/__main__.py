"""The `ringlite` command: runs the CLI and turns failures into one message and an exit code."""

import faulthandler
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from ringlite_cli import __version__
from ringlite_cli.errors import RingliteError, UserError
from ringlite_cli.runs.launcher import (
    check_rank,
    end_after_another,
    leave_launch,
    stop_with_launcher,
    take_rank_from_mpi,
    take_rank_from_slurm,
)
from ringlite_cli.runs.ranks import is_follower, speaks_for_its_machine, world_size
from ringlite_cli.runs.stopping import STOPS, stop_now

_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",  # TRL reports usage at trainer start otherwise
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # ours are shown; those of loading and saving are not
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

_SPINS = "1000"
"""How often a thread of OpenMP looks for work before it sleeps: microseconds, where libgomp's default is milliseconds.

A small model's operations are shorter than that: on cores that other programs use too, threads would mostly wait for
those that are not running, and burn the cores that these need.
"""


BY_ALL_RANKS = (
    *("run", "curate", "sft", "select", "select-by-entropy", "rl", "rl-math", "rl-mixed", "eval", "reward-model"),
)
"""Commands that all ranks of a launch work on; of any other the first rank is the only process."""

_KNOW_THE_LAUNCH = ("check", "plan", "experiment")
"""Commands that work alone, and look at how many ranks a run would have."""

_AT_ONCE = (*BY_ALL_RANKS, "experiment", "rescore", "verify")
"""Commands that show before anything is imported that they have begun."""


def main() -> None:
    _show_life(sys.argv[1:])
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)  # libgomp reads it when torch is imported
    _show_crashes()
    for name in ("SIGTERM", "SIGUSR1"):  # schedulers stop a job by either, as Ctrl-C does
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop_now)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, stop_now)
    try:
        take_rank_from_slurm()
        take_rank_from_mpi()
        check_rank()
    except UserError as error:
        sys.exit(_failed(error) if speaks_for_its_machine() else _without_a_word(error))
    stop_with_launcher()
    if not _takes_part(sys.argv[1:]):
        sys.exit(0)
    code = run(sys.argv[1:])
    _hush()
    _leave_ranks()
    sys.exit(code)


def _takes_part(arguments: list[str]) -> bool:
    """Return whether this process works on the command; one that works alone is made no rank of its launch any more.

    `doctor` looks at every machine of a launch, by a machine's first rank.
    """
    command = arguments[0] if arguments else ""
    if command in BY_ALL_RANKS or world_size() == 1:
        return True
    alone = speaks_for_its_machine() if command == "doctor" else not is_follower()
    if command not in _KNOW_THE_LAUNCH:
        leave_launch()
    return alone


def _show_life(arguments: list[str]) -> None:
    """Write one line on standard error for commands that work long: their imports take a second on a busy machine."""
    silent = {"-q", "--quiet", "--json", "--help", "-h"} & set(arguments) or os.environ.get("RANK", "0") != "0"
    if arguments and arguments[0] in _AT_ONCE and not silent:
        with suppress(OSError):
            os.write(2, f"ringlite {__version__} {arguments[0]}\n".encode())


def _show_crashes() -> None:
    """Have a crash outside of Python told where standard error leads now: later it leads into a log."""
    with suppress(OSError):
        faulthandler.enable(os.dup(2), all_threads=False)


def _hush() -> None:
    """Libraries that end with the process have no more to say than before: CUDA's allocator, process groups."""
    session = sys.modules.get("ringlite_cli.terminal.session")
    if session is not None:
        session.hush()


def _leave_ranks() -> None:
    """Threads of a process group that is still open when Python ends abort the process now and then."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_initialized():
        distributed.destroy_process_group()


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    as_json = "--json" in arguments
    try:
        return _run(arguments, as_json)
    except KeyboardInterrupt:
        return _stopped(as_json)
    except Exception as error:
        if STOPS:
            return _stopped(as_json)  # an import that is stopped halfway calls it an ImportError, and worse
        _tell_crash(error, as_json)
        raise


def _run(arguments: list[str], as_json: bool) -> int:
    from ringlite_cli.errors import FirstRankEnded

    try:
        from ringlite_cli.cli import app
    except ModuleNotFoundError as error:
        return _without_a_package(error, arguments)
    try:
        code = app(arguments, prog_name="ringlite", standalone_mode=not as_json)
    except FirstRankEnded as error:
        return _without_a_word(error)
    except UserError as error:  # of the command itself: all ranks of a machine see the same
        return _failed(error, as_json) if speaks_for_its_machine() else _without_a_word(error)
    except RingliteError as error:
        return _failed(error, as_json)
    except OSError as error:
        from ringlite_cli.stages.walk.failures import as_failure

        if (failure := as_failure(error, Path.cwd())) is None:
            raise
        return _failed(failure, as_json)
    except SystemExit as end:
        if STOPS and end.code == 130:  # typer's, without a word
            return _stopped(as_json)
        return end.code if isinstance(end.code, int) else 0
    except Exception as error:
        if STOPS or not callable(getattr(error, "format_message", None)):
            raise
        return _failed(error, as_json)  # a wrong command line, which typer tells where no JSON is asked for
    if code == 130 and STOPS:
        return _stopped(as_json)
    return code if isinstance(code, int) else 0


def _without_a_package(error: ModuleNotFoundError, arguments: list[str]) -> int:
    """Say what to do where a package is missing that every command needs: `pip install --no-deps` leaves all out."""
    from ringlite_cli.shipped.tested import PINNED, constraints_file

    if (error.name or "").partition(".")[0] in {"", "ringlite", "ringlite_cli", *sys.stdlib_module_names}:
        raise error
    if arguments[:1] == ["constraints"] and not any(each.startswith("-") for each in arguments):
        try:
            print(constraints_file(*(arguments[1:2] or [PINNED])))
        except UserError as unknown:
            print(f"error: {unknown}", file=sys.stderr)
            return unknown.exit_code
        return 0
    cure = f'pip install -c "{constraints_file()}" ringlite'
    print(f"error: the Python package {error.name!r} is not installed; {cure}", file=sys.stderr)
    return UserError.exit_code


def _failed(error: Exception, as_json: bool = False) -> int:
    from ringlite_cli.console import Console

    code = int(getattr(error, "exit_code", 1))
    if as_json:
        from ringlite_cli.stages.commands.answers import error_document

        Console().document(error_document(error, code))
    else:
        Console().error(str(error))
    return code


def _without_a_word(error: RingliteError) -> int:
    """Leave it to another rank to say what is wrong, and to end first."""
    end_after_another()
    return error.exit_code


def _stopped(as_json: bool = False) -> int:
    from ringlite_cli.errors import Interrupted

    return _failed(Interrupted("stopped; the same command goes on"), as_json)


def _tell_crash(error: Exception, as_json: bool) -> None:
    """Show, before the traceback of a bug, the end of the log that libraries printed into."""
    from ringlite_cli.console import Console
    from ringlite_cli.terminal.session import take_last_words

    told = take_last_words()
    if told and told.lines:
        where = f"the last lines of {told.path}" if told.path else "what libraries printed last"
        Console().error("\n  ".join([f"a bug in ringlite, or in a library; {where}:", *told.lines]))
    if as_json:
        from ringlite_cli.stages.commands.answers import error_document

        Console().document(error_document(error, 1))


if __name__ == "__main__":
    main()
