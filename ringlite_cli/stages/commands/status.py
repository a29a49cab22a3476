"""`ringlite status RUN`: where a run is, how fast it goes, what is left, and what it last complained about."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.json_rows import last_rows
from ringlite_cli.report.words import joined
from ringlite_cli.runs.catalogue import OF_STAGE, of_stage, value_of
from ringlite_cli.runs.catalogue.tenths import last_of, mean_of
from ringlite_cli.runs.earlier import made_from_earlier
from ringlite_cli.runs.files import read_json
from ringlite_cli.runs.folder import check_is_folder, holder
from ringlite_cli.runs.manifest import Manifest, read_manifest
from ringlite_cli.runs.pulse import FILE
from ringlite_cli.shares import in_percent
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.parts.costs import duration
from ringlite_cli.stages.walk.forecast import Left

_WORDS = {
    "not started": "not started",
    "unreadable": "its manifest can't be read",
    "running": "running",
    "stopped": "stopped without a word (killed, or out of memory); the same command goes on",
}


def status_text(run: Path) -> str:
    """A line per stage, and a paragraph on the one at work. Raises UserError where there is no run."""
    data = status_data(run)
    at_work = data["at_work"]
    lines = [f"{run}: " + (f"process {at_work} is at work" if at_work else "no process is at work")]
    for row in data["stages"]:
        said = row["message"] or row["note"]
        state = _WORDS.get(row["status"]) or row["status"] + (f": {said}" if said else "")
        if earlier := row["made_from_earlier"]:
            state += f"; made from an earlier {joined(earlier)}: `ringlite run` makes it again"
        lines.append(f"  {row['name']:<12} {state}")
        lines += _progress_lines(row)
    return "\n".join(lines)


def status_data(run: Path) -> dict[str, Any]:
    """Return the same as data. Raises UserError where there is no run.

    at_work: number and machine of the process that holds the run, or None. left: what is left of the whole run, None
    where no process is at work or nothing is known. stages: one for each of the recipe's; goes_on_after: the step of
    the checkpoint that training which was killed goes on from, 0 for the start. made_from_earlier: the stages that were
    run again since a finished stage read them.
    """
    check_is_folder(run)
    names = _stages(run)
    if not names and (run / "manifest.json").exists():
        raise UserError("that is one stage of a run", where=str(run), hint=f"give the run, {run.resolve().parent}")
    if not names:
        raise UserError("not a run: no stage in it has a manifest", where=str(run), hint="give runs/<recipe name>")
    pid = holder(run)
    manifests = {name: read_manifest(run / name) for name in names}
    stages = [_of_stage(run / name, manifest, at_work=pid is not None) for name, manifest in manifests.items()]
    told = {name: vars(manifest) for name, manifest in manifests.items() if manifest is not None}
    for row in stages:
        row["made_from_earlier"] = made_from_earlier(row["name"], told)
    left = next((row["run_left"] for row in stages if row["status"] == "running"), None)
    return {"run": str(run), "at_work": pid, "left": left, "stages": stages}


def _stages(run: Path) -> list[str]:
    """The recipe's stages, and any other that left a manifest."""
    found = sorted(path.parent.name for path in run.glob("*/manifest.json"))
    planned = _read(run / "recipe.json").get("stages")
    known = [name for name in planned if isinstance(name, str)] if found and isinstance(planned, dict) else []
    return known + [name for name in found if name not in known]


def _of_stage(folder: Path, manifest: Manifest | None, *, at_work: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"name": folder.name, "kind": None, "seconds": None, "note": "", "message": ""}
    row |= {"progress": None, "updated": None, "memory_mb": None, "warning": None, "step": None, "metrics": {}}
    row |= {"run_left": None, "goes_on_after": None}
    if manifest is None:
        return row | {"status": "unreadable" if (folder / "manifest.json").exists() else "not started"}
    row |= {"kind": manifest.kind, "status": manifest.status, "seconds": manifest.seconds}
    if manifest.status != "running":
        return row | {"note": manifest.note if manifest.status == "done" else "", "message": _message(manifest)}
    row |= {"status": "running" if at_work else "stopped"} | _of_pulse(folder) | _last(folder, manifest.kind)
    return row if at_work else row | _nothing_left_known(row) | {"goes_on_after": _goes_on_after(folder, manifest.kind)}


def _nothing_left_known(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a stage without a process has in place of its times left: nothing runs, and steps may be lost."""
    progress = row["progress"] and {**row["progress"], "rate": None, "left_seconds": None}
    return {"progress": progress, "run_left": None}


def _goes_on_after(folder: Path, kind: str) -> int | None:
    """Return the step that a training stage goes on from; None for stages that do not train."""
    step_of = KINDS[kind].step_of if kind in KINDS else None
    return (step_of(folder) or 0) if step_of else None


def _message(manifest: Any) -> str:
    return str(manifest.message) if manifest.status != "done" else ""


def _of_pulse(folder: Path) -> dict[str, Any]:
    pulse = _read(folder / FILE)
    done, total, rate = (_number(pulse.get(name)) for name in ("done", "total", "rate"))
    progress = None
    if done is not None and total:
        left = (total - done) / rate if rate else None
        title, note = str(pulse.get("title", folder.name)), str(pulse.get("note") or "")
        progress = {"title": title, "done": done, "total": total, "rate": rate, "left_seconds": left, "note": note}
    texts = {name: str(pulse[name]) if pulse.get(name) else None for name in ("updated", "warning")}
    run_left = Left.of_row(pulse.get("left"))
    whole = {**run_left.row(), "text": run_left.words()} if run_left else None
    return {"progress": progress, "memory_mb": _number(pulse.get("memory_mb")), **texts, "run_left": whole}


def _last(folder: Path, kind: str) -> dict[str, Any]:
    """The last step's metrics that the catalogue shows in a status; none where the stage writes none.

    Shares of time and speeds are those of all the steps so far of the last rollout.
    """
    rows = last_rows(folder / "metrics.jsonl") if kind in OF_STAGE else []
    row = rows[-1] if rows else {}
    shown = [m for m in (of_stage(kind, folder) if row else ()) if m.status]
    found = [(m, mean_of(m, last_of(rows)) if m.per else value_of(row, m.key)) for m in shown]
    metrics = {m.key: {"name": m.name, "value": value, "unit": m.unit} for m, value in found if value is not None}
    return {"step": row.get("step"), "metrics": metrics}


def _progress_lines(row: Mapping[str, Any]) -> Iterator[str]:
    if progress := row["progress"]:
        done, total, rate = progress["done"], progress["total"], progress["rate"]
        line = f"    {progress['title']}: {done:g} of {total:g} ({in_percent(done / total)} %)"
        if rate:
            line += f", {_rate(rate)}, {duration(progress['left_seconds'])} left of this"
        yield line + (f"; {progress['note']}" if progress["note"] else "")
    if row["run_left"]:
        yield f"    {row['run_left']['text']}"
    if row["updated"]:
        memory = row["memory_mb"]
        yield f"    last sign {_ago(row['updated'])}" + (f", {memory:,.0f} MiB" if memory else "")
    if row["warning"]:
        yield f"    last warning: {row['warning']}"
    words = [f"{m['name']} {_short(m['value'])} {m['unit']}".rstrip() for m in row["metrics"].values()]
    if words:
        step = "?" if row["step"] is None else row["step"]
        yield f"    step {step}: " + ", ".join(words)
    if (step := row["goes_on_after"]) is not None:
        yield "    it goes on " + (
            f"after step {step}, its last checkpoint" if step else "from its start: no checkpoint"
        )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return value_of({"": value}, "")


def _rate(per_second: float) -> str:
    return f"{per_second:.2g} a second" if per_second >= 1 else f"{1 / per_second:.1f} s each"


def _ago(moment: str) -> str:
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return f"at {moment}"
    return f"{duration(seconds)} ago" if seconds >= -1 else f"at {moment}, which this machine's clock calls the future"
