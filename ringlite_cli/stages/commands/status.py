"""`ringlite status RUN`: where a run is, how fast it goes, what is left, and what it last complained about."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.runs.catalogue import OF_STAGE, of_stage, value_of
from ringlite_cli.runs.files import read_json
from ringlite_cli.runs.folder import holder
from ringlite_cli.runs.manifest import Manifest, read_manifest
from ringlite_cli.runs.pulse import FILE

_TAIL = 64_000
"""Bytes at the end of metrics.jsonl that hold its last row."""


def status_text(run: Path) -> str:
    """A line per stage, and a paragraph on the one at work. Raises UserError where there is no run."""
    if not run.is_dir():
        raise UserError("no such run folder", where=str(run), hint="give the folder runs/<recipe name>")
    names = _stages(run)
    if not names and (run / "manifest.json").exists():
        raise UserError("that is one stage of a run", where=str(run), hint=f"give the run, {run.resolve().parent}")
    if not names:
        raise UserError("not a run: no stage in it has a manifest", where=str(run), hint="give runs/<recipe name>")
    pid = holder(run)
    lines = [f"{run}: " + (f"process {pid} is at work" if pid else "no process is at work")]
    for name in names:
        lines += _of_stage(run / name, read_manifest(run / name), at_work=pid is not None)
    return "\n".join(lines)


def _stages(run: Path) -> list[str]:
    """The recipe's stages, and any other that left a manifest."""
    found = sorted(path.parent.name for path in run.glob("*/manifest.json"))
    planned = _read(run / "recipe.json").get("stages")
    known = [name for name in planned if isinstance(name, str)] if found and isinstance(planned, dict) else []
    return known + [name for name in found if name not in known]


def _of_stage(folder: Path, manifest: Manifest | None, *, at_work: bool) -> list[str]:
    if manifest is None:
        broken = (folder / "manifest.json").exists()
        return [f"  {folder.name:<12} " + ("its manifest can't be read" if broken else "not started")]
    if manifest.status == "running" and at_work:
        return [f"  {folder.name:<12} running", *_pulse_lines(folder), *_metric_lines(folder, manifest.kind)]
    if manifest.status == "running":
        lines = [f"  {folder.name:<12} stopped without a word (killed, or out of memory); the same command goes on"]
        return lines + _pulse_lines(folder) + _metric_lines(folder, manifest.kind)
    said = manifest.message if manifest.status != "done" else manifest.note
    return [f"  {folder.name:<12} {manifest.status}" + (f": {said}" if said else "")]


def _pulse_lines(folder: Path) -> list[str]:
    pulse = _read(folder / FILE)
    done, total, rate = (_number(pulse.get(name)) for name in ("done", "total", "rate"))
    lines = []
    if done is not None and total:
        line = f"    {pulse.get('title', folder.name)}: {done:g} of {total:g} ({100 * done / total:.0f} %)"
        if rate:
            line += f", {_rate(rate)}, {duration((total - done) / rate)} left of this"
        lines.append(line + (f"; {pulse['note']}" if pulse.get("note") else ""))
    if pulse.get("updated"):
        memory = _number(pulse.get("memory_mb"))
        lines.append(f"    last sign {_ago(str(pulse['updated']))}" + (f", {memory:,.0f} MiB" if memory else ""))
    if pulse.get("warning"):
        lines.append(f"    last warning: {pulse['warning']}")
    return lines


def _metric_lines(folder: Path, kind: str) -> list[str]:
    """The last step's metrics that the catalogue shows in a status; none where the stage writes none."""
    row = _last_row(folder / "metrics.jsonl") if kind in OF_STAGE else {}
    shown = [(m, value_of(row, m.key)) for m in (of_stage(kind, folder) if row else ()) if m.status]
    words = [f"{m.name} {_short(value)} {m.unit}".rstrip() for m, value in shown if value is not None]
    return [f"    step {row.get('step', '?')}: " + ", ".join(words)] if words else []


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _last_row(path: Path) -> dict[str, Any]:
    """Return the last whole row of a JSONL file, read from its end; {} without one."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            lines = file.read().split(b"\n")
        row = json.loads(lines[-2]) if len(lines) > 1 else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rate(per_second: float) -> str:
    return f"{per_second:.2g} a second" if per_second >= 1 else f"{1 / per_second:.1f} s each"


def duration(seconds: float) -> str:
    """90 -> `1 min 30 s`; hours with minutes, days with hours."""
    whole = max(0, round(seconds))
    for unit, name, part, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // part} {small}"
    return f"{whole} s"


def _ago(moment: str) -> str:
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return f"at {moment}"
    return f"{duration(seconds)} ago" if seconds >= -1 else f"at {moment}, which this machine's clock calls the future"
