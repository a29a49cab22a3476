"""`ringlite plan`: what a recipe resolves to, stage by stage, before any work is done."""

from collections.abc import Iterator
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.recipe.graph import run_order
from ringlite_cli.recipe.schema import CurateStage, EvalStage, Model, Recipe, RlStage, SelectStage, SftStage
from ringlite_cli.runs.manifest import read_manifest
from ringlite_cli.stages.kinds import KINDS

SHARDED_FROM = 1_000_000_000  # parameters from which the plan says what many GPUs share
MEAN_PROMPT_TOKENS = 128  # assumed, and said so: the data is not there yet; a run takes the real mean


def print_plan(recipe: Recipe, console: Console, runs: Path) -> None:
    """Prints batches, tokens and memory of each stage, and the time it took where it was run before."""
    console.head(f"{recipe.name} (seed {recipe.seed})")
    sizes = model_sizes(recipe.model)
    parameters = sizes and sizes[0]
    console.say(f"  model: {_model_line(recipe.model, sizes)}")
    for name in run_order(recipe):
        section = recipe.stages[name]
        console.head(f"{name}: {KINDS[section.kind].summary}")
        for line in _lines(recipe, section, parameters):
            console.say(f"  {line}")
        before = read_manifest(runs / recipe.name / name)
        if before and before.status == "done":
            console.say(f"  time: {before.seconds:,.0f} s when it was last run ({before.versions.get('device', '?')})")


def count_parameters(model: Model) -> int | None:
    """Parameters of the policy, from its config alone; None where no config is at hand."""
    sizes = model_sizes(model)
    return sizes and sizes[0]


def model_sizes(model: Model) -> tuple[int, int] | None:
    """Return the policy's parameters, all of them and those active for a token, from its config; None without one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from ringlite_cli.models import register
    from ringlite_cli.models.sizes import active_parameters, published_config

    register()
    try:
        if model.new:
            fields = {**model.new.config, "vocab_size": model.new.vocab_size}
            config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        elif model.path and not model.gguf_file:
            folder = Path(model.path).is_dir()
            config = AutoConfig.from_pretrained(model.path) if folder else published_config(model.path)
        else:
            return None
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config)
        return int(network.num_parameters()), active_parameters(network)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


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
    stage, _, artifact = section.data.partition(".")
    epochs, longest = section.trl_value("num_train_epochs"), section.trl_value("max_length")
    batch = section.trl_value("per_device_train_batch_size") * section.trl_value("gradient_accumulation_steps")
    curate = recipe.stages[stage]
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
