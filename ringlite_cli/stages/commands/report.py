"""`ringlite report`: the page of a run, written once, or served and made anew while the run goes."""

from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.report.pens import Prices


def report_run(
    run: Path,
    console: Console,
    *,
    against: str = "",
    live: bool = False,
    port: int = 0,
    price: float | None = None,
    watts: float | None = None,
) -> None:
    """Write the report of a run and print its path; live: serve it on this machine until Ctrl-C.

    Raises UserError where `run` is no run folder, or `port` is given without `live`.
    """
    prices = Prices(price, watts)
    if live:
        _serve(run, console, against, port, prices)
        return
    if port:
        raise UserError("--port is for --live alone", where="ringlite report", hint="add --live, or leave it out")
    from ringlite_cli.report import write_report
    from ringlite_cli.stages.walk.failures import as_failure

    try:
        console.say(str(write_report(run, against=against, prices=prices)))
    except OSError as error:
        raise as_failure(error, run) or error from None


def _serve(run: Path, console: Console, against: str, port: int, prices: Prices) -> None:
    from ringlite_cli.report.live import LivePage, serve

    server = serve(LivePage(run, against=against, prices=prices), port)
    console.say(f"live: http://127.0.0.1:{server.server_port}/ (this machine only; Ctrl-C ends it)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        console.say("the live page has ended")
    finally:
        server.server_close()
