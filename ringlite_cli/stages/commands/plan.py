"""`ringlite plan`: what a recipe resolves to, stage by stage, before any work is done."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors
from ringlite_cli.models.sizes import model_sizes
from ringlite_cli.recipe.batch_plan import MEAN_PROMPT_TOKENS
from ringlite_cli.recipe.graph import parents, run_order
from ringlite_cli.recipe.schema import (
    CurateStage,
    EvalStage,
    Model,
    ProblemSet,
    Recipe,
    RewardModelStage,
    RlStage,
    SelectStage,
    SftStage,
)
from ringlite_cli.recipe.scoring import trained_scorer
from ringlite_cli.runs.sharding import launched_sharded
from ringlite_cli.stages.base import Finding
from ringlite_cli.stages.commands.answers import answer
from ringlite_cli.stages.commands.carry_plan import carry_lines
from ringlite_cli.stages.commands.launched import read_launch_file
from ringlite_cli.stages.commands.memory_plan import machines, memory_lines, refusals
from ringlite_cli.stages.commands.row_plan import rows_foreseen
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.parts.costs import expected_time, hours, read_by, set_size, tokens_of
from ringlite_cli.stages.parts.memory import Machine, scorer_bytes, shape_for
from ringlite_cli.stages.preflight.room import disk_bytes, size_in_words
from ringlite_cli.stages.walk.preflight import findings


def print_plan(
    recipe: Recipe,
    console: Console,
    runs: Path,
    *,
    price: float | None = None,
    gpus: Sequence[int] = (),
    gpu_memory: float | None = None,
    launcher: Path | None = None,
) -> None:
    """Print batches, tokens, memory, disk and time of each stage, what they come to, and what would fail here.

    price: of an hour of one device. gpus, gpu_memory: how many GPUs to plan for, and the GiB of each.
    launcher: accelerate's file that spreads training over them. Raises RecipeErrors, after all is printed, for what no
    machine can run.
    """
    launched_sharded()  # raises for a launcher's configuration that cannot work
    launched = read_launch_file(launcher) if launcher else None
    sizes = model_sizes(recipe.model)
    parameters = sizes and sizes[0]
    _show(console, f"{recipe.name} (seed {recipe.seed})", [f"model: {_model_line(recipe.model, sizes)}"])
    costs: list[_Cost] = []
    rows: list[dict[str, Any]] = []
    for name in run_order(recipe):
        section = recipe.stages[name]
        lines = list(_lines(recipe, name))
        planned = machines(gpus, gpu_memory, parameters or 0, launched)
        if parameters and isinstance(section, SftStage | RewardModelStage | RlStage):
            lines += _on_gpus(recipe, name, planned)
        lines += carry_lines(recipe, name, runs, [machine.gpus for machine in planned])
        costs.append(_Cost(recipe, name, parameters, runs))
        lines += costs[-1].lines(price)
        _show(console, f"{name}: {KINDS[section.kind].summary}", lines)
        rows.append({"name": name, "kind": section.kind, **costs[-1].row(price), "lines": lines})
    found = findings(recipe, runs / recipe.name, run_order(recipe), console)
    if fatal := [str(finding) for finding in found if finding.fatal and not finding.of_machine]:
        if not console.wants_json:
            _show_end(console, costs, price, found)
        raise RecipeErrors(fatal)
    if not console.wants_json:
        return _show_end(console, costs, price, found)
    notes = [{"text": str(finding), "would_fail_here": finding.fatal} for finding in found]
    model = {"line": _model_line(recipe.model, sizes), "parameters": parameters, "active": sizes and sizes[1]}
    total = {"seconds": sum(row["seconds"] or 0 for row in rows), "stages_without_time": _without_time(rows)}
    total |= {"disk_bytes": sum(cost.disk for cost in costs)}
    plan = {"name": recipe.name, "seed": recipe.seed, "model": model, "stages": rows, "total": total, "notes": notes}
    answer(console, "plan", plan, "")


def _without_time(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows if row["seconds"] is None]


def _show(console: Console, title: str, lines: Sequence[str]) -> None:
    """Print one part of the plan; nothing where it goes into a document."""
    if not console.wants_json:
        console.answer(title, "bold")
        for line in lines:
            console.answer(f"  {line}")


def _show_end(console: Console, costs: "list[_Cost]", price: float | None, found: Sequence[Finding]) -> None:
    for line in _sum(costs, price):
        console.answer(line)
    for finding in found:
        if finding.of_machine or not finding.fatal:
            console.answer(f"{'here it would fail' if finding.fatal else 'note'}: {finding}")


class _Cost:
    """What a stage takes of disk, time and money."""

    def __init__(self, recipe: Recipe, name: str, parameters: int | None, runs: Path) -> None:
        self.disk = disk_bytes(recipe, name, parameters)
        self.time = expected_time(recipe, name, tokens_of(recipe, name, read_by(recipe, name)), runs)

    def lines(self, price: float | None) -> Iterator[str]:
        if self.disk:
            yield f"disk: about {size_in_words(self.disk)} at the most"
        if self.time:
            money = f", {self.money(price):,.2f} at {price:g} an hour" if price else ""
            yield f"time: {hours(self.time.seconds)} {self.time.source}{money}"

    def row(self, price: float | None) -> dict[str, Any]:
        """Return the same as data; None for what is not known."""
        seconds, source = (self.time.seconds, self.time.source) if self.time else (None, None)
        money = self.money(price) if price and self.time else None
        return {"seconds": seconds, "seconds_source": source, "disk_bytes": self.disk, "money": money}

    def money(self, price: float) -> float:
        return self.time.seconds / 3600 * self.time.devices * price if self.time else 0.0


def _sum(costs: list[_Cost], price: float | None) -> Iterator[str]:
    known = [cost for cost in costs if cost.time]
    yield f"disk: about {size_in_words(sum(cost.disk for cost in costs))} for all stages"
    if not known:
        yield "time: not known yet; a finished stage in the runs folder tells the rate for others of its kind and model"
        return
    share = f"{len(known)} of {len(costs)} stages" if len(known) < len(costs) else "all stages"
    yield f"time: {hours(sum(cost.time.seconds for cost in known if cost.time))} for {share}"
    if price:
        yield f"money: {sum(cost.money(price) for cost in known):,.2f} for {share}, at {price:g} an hour of a device"


def count_parameters(model: Model) -> int | None:
    """Parameters of the policy, from its config alone; None where no config is at hand."""
    sizes = model_sizes(model)
    return sizes and sizes[0]


def _model_line(model: Model, sizes: tuple[int, int] | None) -> str:
    origin = f"new {model.new.config['model_type']}" if model.new else str(model.path or model.package)
    size = "size known once it is loaded"
    if sizes:
        size = f"{_count(sizes[0])} parameters"
        size += f" ({_count(sizes[1])} active)" * (sizes[1] < sizes[0])
    rows = rows_foreseen(model)
    return f"{origin}, {size}, {model.dtype}" + (f"; {rows}" if rows else "")


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:,.2f}B" if parameters >= 1e9 else f"{parameters / 1e6:,.2f}M"


def _lines(recipe: Recipe, name: str) -> Iterator[str]:
    section = recipe.stages[name]
    if isinstance(section, CurateStage):
        yield from _curate_lines(section)
    elif isinstance(section, SftStage):
        yield from _sft_lines(recipe, section)
    elif isinstance(section, SelectStage):
        low, high = section.entropy_band
        yield (
            f"each checkpoint of {section.candidates}: {section.num_generations} responses a problem of {section.data}"
        )
        yield from _sampled(
            recipe, [section.data], section.num_generations, section.max_completion_length, "a checkpoint"
        )
        if probe := section.rl_probe:
            tokens = probe.steps * probe.token_budget
            yield f"probe: {probe.steps} RL steps from each, {tokens:,} tokens trained, then the same responses again"
        yield f"picked: best pass@1 with an entropy of {low} to {high} nats per response token"
    elif isinstance(section, RewardModelStage):
        yield from _reward_model_lines(recipe, section)
    elif isinstance(section, RlStage):
        yield from _rl_lines(section)
        if (scorer := trained_scorer(recipe)) and scorer in parents(recipe, name):
            yield f"responses of verifier reward-model are scored by what stage {scorer} trains"
    elif isinstance(section, EvalStage):
        yield f"policies {', '.join(section.policies)}; tasks {', '.join(section.tasks)}"
        yield (
            f"avg@{section.num_generations}, at most {section.max_completion_length:,} tokens, "
            f"temperature {section.temperature:g}"
        )
        yield from _sampled(recipe, section.tasks, section.num_generations, section.max_completion_length, "a policy")


def _sampled(
    recipe: Recipe, sets: list[str], num_generations: int, max_completion_length: int, per: str
) -> Iterator[str]:
    """Tokens sampled at most, where the number of problems is known from the recipe."""
    counts = [set_size(recipe, name) for name in sets]
    if all(counts):
        responses = sum(count or 0 for count in counts) * num_generations
        yield f"{responses:,} responses, at most {responses * max_completion_length:,} tokens, {per}"


def _curate_lines(section: CurateStage) -> Iterator[str]:
    for source in section.sources:
        rows = f"{source.rows:,} rows" if source.rows else "all rows"
        yield f"source {source.name} ({', '.join(source.splits)}): {rows}"
    if section.distill:
        teacher, times = section.distill.teacher, section.distill.num_generations * section.distill.rounds
        whose = f"the policy of {teacher.policy}" if teacher.policy else teacher.name
        yield f"traces of {whose}: at most {times} responses a problem, the shortest that is right is kept"
    for name, wanted in section.sets.items():
        yield f"set {name} ({wanted.split}): {_asked_rows(wanted)}"


def _asked_rows(wanted: ProblemSet) -> str:
    if wanted.mix:
        whole = sum(wanted.mix.values())
        shares = ", ".join(f"{part} {share / whole:.0%}" for part, share in wanted.mix.items())
        return shares + (f" of {wanted.total:,}" if wanted.total else "")
    return ", ".join(f"{part} {n:,}" for part, n in wanted.rows.items()) if wanted.rows else "all that is left"


def _sft_lines(recipe: Recipe, section: SftStage) -> Iterator[str]:
    stage, _, artifact = section.data.partition(".") if isinstance(section.data, str) else ("", "", "")
    epochs, longest = section.trl_value("num_train_epochs"), section.trl_value("max_length")
    batch = section.trl_value("per_device_train_batch_size") * section.trl_value("gradient_accumulation_steps")
    curate = recipe.stages.get(stage)
    rows = curate.sets[artifact].rows if isinstance(curate, CurateStage) else None
    traces = f"{sum(rows.values()):,} traces" if rows else "every trace"
    chooses = any(isinstance(s, SelectStage) and recipe.stages[s.candidates] == section for s in recipe.stages.values())
    chosen = " for select to choose from" * chooses
    if (steps := section.trl_value("max_steps")) > 0:
        yield f"{steps:,} steps over {traces}; batch {batch} rows of at most {longest:,} tokens"
        yield f"at most {steps * batch * longest:,} tokens seen by a rank; those of prompts carry no loss"
        yield f"checkpoints: {section.checkpoints_per_epoch} an epoch, and that of the last step{chosen}"
        return
    yield f"{traces} x {epochs:g} epochs; batch {batch} rows of at most {longest:,} tokens"
    if rows:
        most = round(sum(rows.values()) * longest * epochs)
        yield f"at most {most:,} tokens seen; those of prompts carry no loss"
    yield f"{ceil(epochs * section.checkpoints_per_epoch)} checkpoints{chosen}"


def _reward_model_lines(recipe: Recipe, section: RewardModelStage) -> Iterator[str]:
    start = section.policy or "the recipe's model"
    batch = section.trl_value("per_device_train_batch_size") * section.trl_value("gradient_accumulation_steps")
    if section.pairs:
        pairs = section.pairs
        yield f"pairs: responses of {' and '.join(pairs.policies)} to {pairs.data}, the better by rule {pairs.rule}"
        yield from _sampled(recipe, [pairs.data], pairs.num_generations, pairs.max_completion_length, "a policy")
    else:
        assert section.data is not None
        yield f"pairs of {section.data.path or section.data.hub}"
    steps = section.trl_value("max_steps")
    length = f"{steps:,} steps" if steps > 0 else f"{section.trl_value('num_train_epochs'):g} epochs"
    yield (f"from {start}: {length}, batch {batch} pairs; {100 * section.held_out:g} % of the prompts are held out")


def _rl_lines(section: RlStage) -> Iterator[str]:
    steps = section.steps
    length = section.max_completion_length
    prompt = max(0, min(MEAN_PROMPT_TOKENS, section.row_length(length, MEAN_PROMPT_TOKENS) - length))
    batch = section.batch_plan(mean_prompt_tokens=prompt)
    yield _of_a_step(section, batch.responses)
    if section.selects:
        grows = section.schedule.largest > section.token_budget
        upto = f", growing to {section.schedule.largest:,} ({section.budget_schedule})" if grows else ""
        yield (
            f"trained: Phi = {section.token_budget:,} response tokens ({section.token_budget_scope}){upto}, "
            f"cut {section.cut}"
        )
    else:
        yield f"trained: every response ({section.algorithm}), {batch.budget_step:,} tokens at most; no token budget"
    yield (
        f"packed: {batch.rows} rows of about {batch.row_tokens_mean:,} tokens (at most {batch.row_tokens_bound:,}), "
        f"accumulated over {batch.gradient_accumulation_steps} micro-batches a rank; prompts taken as {prompt} tokens"
    )
    if section.row_tokens is None:
        yield "rows are longer where a GPU holds longer ones (row_tokens is not set)"
    each = " a rank" * (section.token_budget_scope == "rank")
    most = "about" if section.selects and section.cut == "whole" else "at most"
    tokens = f"{most} {steps * batch.budget_step:,} tokens trained{each}"
    yield f"{steps} steps: {tokens}{_rollouts(section, batch.responses)}"


def _of_a_step(section: RlStage, responses: int) -> str:
    """Return what a step draws. In mode carry its groups are as many as hold its budget."""
    prompts, group, longest = section.prompts_per_step, section.num_generations, section.max_completion_length
    if not section.carries:
        words = f"a step: L = {prompts} prompts x K = {group} responses = {responses:,} responses"
        return f"{words} of at most {longest:,} tokens"
    takes = "complete groups" if section.selects else f"{prompts} complete groups"
    until = " until they hold its budget" if section.selects else ""
    in_flight = f"in flight: {section.in_flight(group):,} responses of at most {longest:,} tokens"
    return f"{in_flight}; a step takes {takes} of K = {group}{until}"


def _rollouts(section: RlStage, responses: int) -> str:
    """Return how many responses all steps draw; "" where that is not known before."""
    if section.carries and section.selects:
        return ""
    rollouts = section.steps * responses
    refills = section.undershoot == "refill"
    return f", {rollouts:,} rollouts" + refills * f", and up to {rollouts * section.refill_rounds:,} to refill"


def _on_gpus(recipe: Recipe, name: str, planned: Sequence[Machine]) -> Iterator[str]:
    """Yield what each GPU holds, and of an RL stage what a step trains on so many."""
    section: Any = recipe.stages[name]
    shape = shape_for(recipe.model, section)
    if shape is None:
        return
    scorer = scorer_bytes(recipe, name)
    for machine in (replace(each, scorer=scorer) for each in planned):
        if refused := list(refusals(section, shape, machine.gpus)):
            count = f"{machine.gpus} GPUs are" if machine.gpus > 1 else "1 GPU is"
            yield from (f"{count} refused: {fault}" for fault in refused)
            continue
        if isinstance(section, RlStage) and machine.gpus > 1:
            per_rank = section.token_budget_scope == "rank"
            tokens = section.token_budget * machine.gpus if per_rank else section.token_budget
            responses = section.prompts_per_step * section.num_generations / machine.gpus
            yield f"on {machine.gpus} GPUs: a step trains {tokens:,} tokens, {responses:,.0f} responses a GPU"
        yield from memory_lines(recipe.model, section, shape, machine)
