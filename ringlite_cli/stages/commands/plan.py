"""`ringlite plan`: what a recipe resolves to, stage by stage, before any work is done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors
from ringlite_cli.models.sizes import model_sizes
from ringlite_cli.recipe.graph import run_order
from ringlite_cli.recipe.schema import CurateStage, EvalStage, Model, Recipe, RlStage, SelectStage, SftStage
from ringlite_cli.stages.commands.costs import expected_time, hours, tokens_of
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.preflight.room import disk_bytes
from ringlite_cli.stages.walk.preflight import findings

SHARDED_FROM = 1_000_000_000  # parameters from which the plan says what many GPUs share
MEAN_PROMPT_TOKENS = 128  # assumed, and said so: the data is not there yet; a run takes the real mean


def print_plan(recipe: Recipe, console: Console, runs: Path, *, price: float | None = None) -> None:
    """Print batches, tokens, memory, disk and time of each stage, what they come to, and what would fail here.

    price: of an hour of one device. Raises RecipeErrors, after all is printed, for what no machine can run.
    """
    console.head(f"{recipe.name} (seed {recipe.seed})")
    sizes = model_sizes(recipe.model)
    parameters = sizes and sizes[0]
    console.say(f"  model: {_model_line(recipe.model, sizes)}")
    costs: list[_Cost] = []
    for name in run_order(recipe):
        section = recipe.stages[name]
        console.head(f"{name}: {KINDS[section.kind].summary}")
        for line in _lines(recipe, section, parameters):
            console.say(f"  {line}")
        costs.append(_Cost(recipe, name, parameters, runs))
        for line in costs[-1].lines(price):
            console.say(f"  {line}")
    for line in _sum(costs, price):
        console.say(line)
    _say_findings(recipe, console, runs)


class _Cost:
    """What a stage takes of disk, time and money."""

    def __init__(self, recipe: Recipe, name: str, parameters: int | None, runs: Path) -> None:
        self.disk = disk_bytes(recipe, name, parameters)
        self.time = expected_time(recipe, name, tokens_of(recipe, name, _read_by(recipe, name)), runs)

    def lines(self, price: float | None) -> Iterator[str]:
        if self.disk:
            yield f"disk: about {self.disk / 2**20:,.0f} MiB at the most"
        if self.time:
            money = f", {self.money(price):,.2f} at {price:g} an hour" if price else ""
            yield f"time: {hours(self.time.seconds)} {self.time.source}{money}"

    def money(self, price: float) -> float:
        return self.time.seconds / 3600 * self.time.devices * price if self.time else 0.0


def _sum(costs: list[_Cost], price: float | None) -> Iterator[str]:
    known = [cost for cost in costs if cost.time]
    yield f"disk: about {sum(cost.disk for cost in costs) / 2**20:,.0f} MiB for all stages"
    if not known:
        yield "time: not known yet; a finished stage in the runs folder tells the rate for others of its kind and model"
        return
    share = f"{len(known)} of {len(costs)} stages" if len(known) < len(costs) else "all stages"
    yield f"time: {hours(sum(cost.time.seconds for cost in known if cost.time))} for {share}"
    if price:
        yield f"money: {sum(cost.money(price) for cost in known):,.2f} for {share}, at {price:g} an hour of a device"


def _read_by(recipe: Recipe, name: str) -> int | None:
    """Problems that a stage draws from or trains on, where the recipe says how many."""
    section: Any = recipe.stages[name]
    sets = section.tasks if isinstance(section, EvalStage) else [getattr(section, "data", "")]
    counts = [_problems(recipe, each) for each in sets]
    return sum(count or 0 for count in counts) if all(counts) else None


def _say_findings(recipe: Recipe, console: Console, runs: Path) -> None:
    found = findings(recipe, runs / recipe.name, list(recipe.stages), console)
    for finding in found:
        if finding.of_machine or not finding.fatal:
            console.say(f"{'here it would fail' if finding.fatal else 'note'}: {finding}")
    if fatal := [str(finding) for finding in found if finding.fatal and not finding.of_machine]:
        raise RecipeErrors(fatal)


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
    return f"{origin}, {size}, {model.dtype}"


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:,.2f}B" if parameters >= 1e9 else f"{parameters / 1e6:,.2f}M"


def _lines(recipe: Recipe, section: object, parameters: int | None) -> Iterator[str]:
    if isinstance(section, CurateStage):
        yield from _curate_lines(section)
    elif isinstance(section, SftStage):
        yield from _sft_lines(recipe, section, parameters)
    elif isinstance(section, SelectStage):
        low, high = section.entropy_band
        yield f"each checkpoint of {section.candidates}: {section.samples} responses a problem of {section.data}"
        yield from _sampled(recipe, [section.data], section.samples, section.max_new_tokens, "a checkpoint")
        if probe := section.rl_probe:
            tokens = probe.steps * probe.token_budget
            yield f"probe: {probe.steps} RL steps from each, {tokens:,} tokens trained, then the same responses again"
        yield f"picked: best pass@1 with an entropy of {low} to {high} nats per response token"
    elif isinstance(section, RlStage):
        yield from _rl_lines(section, parameters)
    elif isinstance(section, EvalStage):
        yield f"policies {', '.join(section.policies)}; tasks {', '.join(section.tasks)}"
        yield f"avg@{section.samples}, at most {section.max_new_tokens:,} tokens, temperature {section.temperature:g}"
        yield from _sampled(recipe, section.tasks, section.samples, section.max_new_tokens, "a policy")


def _sampled(recipe: Recipe, sets: list[str], samples: int, longest: int, per: str) -> Iterator[str]:
    """Tokens sampled at most, where the number of problems is known from the recipe."""
    counts = [_problems(recipe, name) for name in sets]
    if all(counts):
        responses = sum(count or 0 for count in counts) * samples
        yield f"{responses:,} responses, at most {responses * longest:,} tokens, {per}"


def _problems(recipe: Recipe, name: str) -> int | None:
    """Problems of a curated set, by its own rows or else by those of its split's sources (before any are dropped)."""
    stage, _, artifact = name.partition(".")
    curate = recipe.stages.get(stage)
    if not isinstance(curate, CurateStage) or artifact not in curate.sets:
        return None
    wanted = curate.sets[artifact]
    if wanted.rows:
        return sum(wanted.rows.values())
    rows = [source.rows for source in curate.sources if wanted.split in source.splits]
    return sum(count or 0 for count in rows) if all(rows) else None


def _curate_lines(section: CurateStage) -> Iterator[str]:
    for source in section.sources:
        rows = f"{source.rows:,} rows" if source.rows else "all rows"
        yield f"source {source.name} ({', '.join(source.splits)}): {rows}"
    for name, wanted in section.sets.items():
        rows = ", ".join(f"{d} {n:,}" for d, n in wanted.rows.items()) if wanted.rows else "all that is left"
        yield f"set {name} ({wanted.split}): {rows}"


def _sft_lines(recipe: Recipe, section: SftStage, parameters: int | None) -> Iterator[str]:
    stage, _, artifact = section.data.partition(".") if isinstance(section.data, str) else ("", "", "")
    epochs, longest = section.trl_value("num_train_epochs"), section.trl_value("max_length")
    batch = section.trl_value("per_device_train_batch_size") * section.trl_value("gradient_accumulation_steps")
    curate = recipe.stages.get(stage)
    rows = curate.sets[artifact].rows if isinstance(curate, CurateStage) else None
    traces = f"{sum(rows.values()):,} traces" if rows else "every trace"
    yield f"{traces} x {epochs:g} epochs; batch {batch} rows of at most {longest:,} tokens"
    if rows:
        most = round(sum(rows.values()) * longest * epochs)
        yield f"at most {most:,} tokens seen; those of prompts carry no loss"
    yield f"{round(epochs * section.checkpoints_per_epoch)} checkpoints for select to choose from"
    yield from _memory(parameters, 16, "weights, gradients and AdamW in float32")


def _rl_lines(section: RlStage, parameters: int | None) -> Iterator[str]:
    trl, steps = section.trl, section.steps
    generations, longest = section.num_generations, section.max_completion_length
    prompt = max(0, min(MEAN_PROMPT_TOKENS, section.row_length(longest, MEAN_PROMPT_TOKENS) - longest))
    batch = section.batch_plan(mean_prompt_tokens=prompt)
    yield (
        f"a step: L = {section.prompts_per_step} prompts x K = {generations} responses = {batch.responses:,} "
        f"responses of at most {longest:,} tokens"
    )
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
    most = "at most " * (not section.selects or section.schedule.kind != "constant")
    tokens = f"{most}{steps * batch.budget_step:,} tokens trained{each}"
    yield f"{steps} steps: {tokens}, {steps * batch.responses:,} rollouts"
    per_parameter = 16 + (4 if trl.get("beta") else 0)
    yield from _memory(parameters, per_parameter, "policy, AdamW" + ", reference" * bool(trl.get("beta")))
    if parameters and parameters >= SHARDED_FROM:
        yield from _on_many_gpus(section, parameters * per_parameter)


def _on_many_gpus(section: RlStage, total_bytes: int) -> Iterator[str]:
    """What each GPU holds and a step trains where the model is sharded over them (FSDP2)."""
    per_rank = section.token_budget_scope == "rank"
    for gpus in (8, 256):
        tokens = section.token_budget * gpus if per_rank else section.token_budget
        share = f"{total_bytes / gpus / 2**30:,.1f} GiB a GPU, sharded, and activations on top"
        responses = section.prompts_per_step * section.num_generations / gpus
        yield f"on {gpus} GPUs: {share}; a step trains {tokens:,} tokens, {responses:,.0f} responses a GPU"


def _memory(parameters: int | None, per_parameter: int, what: str) -> Iterator[str]:
    if parameters:
        yield f"memory: {parameters * per_parameter / 2**20:,.0f} MiB for {what}, and activations on top"
