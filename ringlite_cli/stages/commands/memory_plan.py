"""The lines of `ringlite plan` about memory: what each GPU holds, part by part, and what does not fit."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

from ringlite_cli.memory.asked import optimizer_name
from ringlite_cli.memory.caches import Cache
from ringlite_cli.memory.drawing import Drawn
from ringlite_cli.memory.engine import EngineNeeds, heads_fault
from ringlite_cli.memory.fit import Fit
from ringlite_cli.memory.held import Shape, update_parts
from ringlite_cli.memory.layout import RowLayout
from ringlite_cli.memory.optimizers import host_bytes
from ringlite_cli.recipe.rl_settings import starts_engine
from ringlite_cli.recipe.schema import Model, RewardModelStage, RlStage, SftStage
from ringlite_cli.stages.commands.launched import Launched
from ringlite_cli.stages.parts.memory import Machine, foreseen, longest_sample, training_of

GIB = 2**30
SHARDED_FROM = 1_000_000_000
"""Parameters from which a plan says what many GPUs share, where nothing else is asked."""


def machines(
    gpus: Sequence[int], memory: float | None, parameters: int, launched: Launched | None = None
) -> list[Machine]:
    """Return the machines that a plan is made for: those asked for, or one GPU, or several of a large model.

    gpus: how many, each a machine of its own. memory: GiB of a GPU; default: 80 GB. launched: what they share.
    """
    size, how = int((memory or 79.2) * GIB), launched or Launched()
    counts = list(gpus) or ([how.gpus] if how.gpus else [8, 16, 256] if parameters >= SHARDED_FROM else [1])
    return [Machine(count, size, how.sharded, how.offload, how.reshard) for count in counts]


def memory_lines(
    model: Model, section: SftStage | RewardModelStage | RlStage, shape: Shape, machine: Machine
) -> Iterator[str]:
    """Give what a stage takes of each GPU of a machine, part by part, and what does not fit."""
    layout, fit = foreseen(model, section, shape, machine)
    how = "sharded" if machine.shares(section) else "a whole model on each"
    shared = f"{machine.gpus} GPUs, {how}" if machine.gpus > 1 else "1 GPU"
    if shape.adapter:
        share = shape.adapter / shape.total
        yield f"adapter: {shape.adapter:,} parameters are trained, beside {shape.total:,} that stay ({share:.2%})"
    yield f"memory on {shared}, each of {_gib(machine.memory)}:"
    yield f"  held: {_parts(fit.held)}"
    yield f"  update: {_update(fit, layout)}"
    yield f"  {_sample(model, section, shape, machine)}"
    if fit.beside is not None:
        yield f"  engine: {_engine(fit, fit.beside.needs)}"
    if fit.drawn is not None:
        yield f"  drawing: {_drawing(fit.drawn)}"
    ranks = machine.gpus if machine.shares(section) else 1
    together = f"{_gib(fit.in_rollout)} while responses are drawn, " if fit.beside or fit.drawn else ""
    yield f"  at most: {together}{_gib(fit.in_update)} in an update"
    if host := ceil(host_bytes(optimizer_name(section.trl)) * shape.trained / ranks):
        yield f"  in the host's memory: {_gib(host)} for each GPU"
    for fault in fit.faults():
        yield f"  does not fit: {fault}"
    for risk in fit.risks():
        yield f"  may not fit: {risk}"


def refusals(section: SftStage | RewardModelStage | RlStage, shape: Shape, gpus: int) -> Iterator[str]:
    """Give why a run on so many GPUs would be refused, whatever their memory."""
    if not isinstance(section, RlStage):
        return
    alone = section.faults()
    yield from (fault for fault in section.faults(world_size=gpus) if fault not in alone)
    if not starts_engine(section.trl) or section.trl_value("vllm_mode") != "colocate":
        return
    spread = int(section.trl_value("vllm_tensor_parallel_size") or 1)
    where = "trl.vllm_tensor_parallel_size"
    if gpus % spread:
        yield f"{where}: an engine spreads over {spread} of them, which {gpus} is no multiple of"
    if fault := heads_fault(shape.config, spread):
        yield f"{where}: {fault}"


def _update(fit: Fit, layout: RowLayout) -> str:
    how = "with" if layout.gradient_checkpointing else "without"
    row = (
        f"activations {_gib(fit.update['activations'])} of a row of {layout.row_tokens:,} tokens ({how} checkpointing)"
    )
    return f"{row}, head {_gib(fit.update['head'])}"


def _sample(model: Model, section: SftStage | RewardModelStage | RlStage, shape: Shape, machine: Machine) -> str:
    """Return what the longest sample needs, either way."""
    tokens = longest_sample(section)
    how = replace(training_of(model, section, shape, machine), row_tokens=tokens)
    recomputed, plain = (update_parts(shape, replace(how, checkpointing=flag))["activations"] for flag in (True, False))
    return f"longest row of one sample: {tokens:,} tokens, {_gib(plain)}; with checkpointing {_gib(recomputed)}"


def _drawing(drawn: Drawn) -> str:
    return (
        f"keys and values of {drawn.responses:,} responses in one batch at full length {_gib(drawn.size)} "
        f"({_a_token(drawn.kept, drawn.length)}), a step's work {_gib(drawn.work)}"
    )


def _a_token(kept: Cache, length: int) -> str:
    alike = not (kept.windows or kept.state)
    return f"{kept.of(length) / length / 1024:,.0f} KiB {'a token' if alike else 'a token on average'}"


def _engine(fit: Fit, needs: EngineNeeds) -> str:
    return (
        f"{fit.share:.0%} of the GPU, {_gib(int(fit.share * fit.total))}: weights {_gib(needs.weights)}, keys and "
        f"values of {fit.responses:,} of {needs.in_flight:,} responses under way at full length "
        f"({_a_token(needs.kept, needs.length)}; all together {_gib(needs.cache)})"
    )


def _parts(parts: dict[str, int]) -> str:
    named = {"gathered": "layers gathered whole", "whole": "weights that stay whole"}
    shown = [f"{named.get(name, name)} {_gib(size)}" for name, size in parts.items() if size]
    return ", ".join(shown) or "nothing"


def _gib(size: int) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 2**20:,.1f} MiB"
