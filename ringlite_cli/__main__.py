"""The `ringlite` command: runs the CLI and turns failures into one message and an exit code."""

import os
import signal
import sys

from ringlite_cli.runs.launcher import stop_with_launcher

_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",  # TRL reports usage at trainer start otherwise
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # ours are shown; those of loading and saving are not
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def main() -> None:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    for name in ("SIGTERM", "SIGUSR1"):  # schedulers stop a job by either, as Ctrl-C does
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    stop_with_launcher()
    code = run(sys.argv[1:])
    _leave_ranks()
    sys.exit(code)


def _leave_ranks() -> None:
    """Threads of a process group that is still open when Python ends abort the process now and then."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_initialized():
        distributed.destroy_process_group()


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    from ringlite_cli.cli import app
    from ringlite_cli.console import Console
    from ringlite_cli.errors import Interrupted, RingliteError

    try:
        app(arguments, prog_name="ringlite")
    except RingliteError as error:
        Console().error(str(error))
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        Console().error("stopped")
        return Interrupted.exit_code
    return 0


if __name__ == "__main__":
    main()
