"""`ringlite plan`: what a recipe resolves to, stage by stage, before any work is done."""

from collections.abc import Iterator
from pathlib import Path

from ringlite_cli.c3po.plan import resolve_batch
from ringlite_cli.console import Console
from ringlite_cli.recipe.graph import run_order
from ringlite_cli.recipe.schema import CurateStage, EvalStage, Model, Recipe, RlStage, SelectStage, SftStage
from ringlite_cli.stages import KINDS

MEAN_PROMPT_TOKENS = 128  # assumed, and said so: the data is not there yet; a run takes the real mean


def print_plan(recipe: Recipe, console: Console) -> None:
    """Prints batches, tokens and memory of each stage."""
    console.head(f"{recipe.name} (seed {recipe.seed})")
    parameters = count_parameters(recipe.model)
    console.say(f"  model: {_model_line(recipe.model, parameters)}")
    for name in run_order(recipe):
        section = recipe.stages[name]
        console.head(f"{name}: {KINDS[section.kind].summary}")
        for line in _lines(recipe, section, parameters):
            console.say(f"  {line}")


def count_parameters(model: Model) -> int | None:
    """Parameters of the policy, from its config alone; None where no config is at hand."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        if model.new:
            fields = {**model.new.config, "vocab_size": model.new.vocab_size}
            config = AutoConfig.for_model(fields.pop("model_type"), **fields)
        elif model.path and Path(model.path).is_dir() and not model.gguf_file:
            config = AutoConfig.from_pretrained(model.path)
        else:
            return None
        with torch.device("meta"):
            return int(AutoModelForCausalLM.from_config(config).num_parameters())
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _model_line(model: Model, parameters: int | None) -> str:
    origin = f"new {model.new.config['model_type']}" if model.new else str(model.path or model.package)
    size = f"{parameters / 1e6:,.2f}M parameters" if parameters else "size known once it is loaded"
    return f"{origin}, {size}, {model.dtype}"


def _lines(recipe: Recipe, section: object, parameters: int | None) -> Iterator[str]:
    if isinstance(section, CurateStage):
        yield from _curate_lines(section)
    elif isinstance(section, SftStage):
        yield from _sft_lines(recipe, section, parameters)
    elif isinstance(section, SelectStage):
        low, high = section.entropy_band
        yield f"each checkpoint of {section.candidates}: {section.samples} responses a problem of {section.data}"
        yield f"picked: best pass@1 with an entropy of {low} to {high} nats per response token"
    elif isinstance(section, RlStage):
        yield from _rl_lines(section, parameters)
    elif isinstance(section, EvalStage):
        yield f"policies {', '.join(section.policies)}; tasks {', '.join(section.tasks)}"
        yield f"avg@{section.samples}, at most {section.max_new_tokens:,} tokens, temperature {section.temperature:g}"


def _curate_lines(section: CurateStage) -> Iterator[str]:
    for source in section.sources:
        rows = f"{source.rows:,} rows" if source.rows else "all rows"
        yield f"source {source.name} ({source.split}): {rows}"
    for name, wanted in section.sets.items():
        rows = ", ".join(f"{d} {n:,}" for d, n in wanted.rows.items()) if wanted.rows else "all that is left"
        yield f"set {name} ({wanted.split}): {rows}"


def _sft_lines(recipe: Recipe, section: SftStage, parameters: int | None) -> Iterator[str]:
    trl, (stage, _, artifact) = section.trl, section.data.partition(".")
    epochs = trl.get("num_train_epochs", 3.0)
    batch = trl.get("per_device_train_batch_size", 8) * trl.get("gradient_accumulation_steps", 1)
    curate = recipe.stages[stage]
    rows = curate.sets[artifact].rows if isinstance(curate, CurateStage) else None
    traces = f"{sum(rows.values()):,} traces" if rows else "every trace"
    yield f"{traces} x {epochs:g} epochs; batch {batch} rows of at most {trl.get('max_length', 1024):,} tokens"
    yield f"{round(epochs * section.checkpoints_per_epoch)} checkpoints for select to choose from"
    yield from _memory(parameters, 16, "weights, gradients and AdamW in float32")


def _rl_lines(section: RlStage, parameters: int | None) -> Iterator[str]:
    trl = section.trl
    generations, longest = trl.get("num_generations", 8), trl.get("max_completion_length", 256)
    steps = trl["max_steps"]
    prompt = max(0, min(MEAN_PROMPT_TOKENS, section.row_tokens - longest))
    batch = resolve_batch(
        section.prompts_per_step,
        generations,
        section.token_budget,
        section.row_tokens,
        prompt,
        scope=section.token_budget_scope,
        max_response_tokens=longest,
    )
    yield (
        f"a step: L = {section.prompts_per_step} prompts x K = {generations} responses = {batch.responses:,} "
        f"responses of at most {longest:,} tokens"
    )
    yield f"trained: Phi = {section.token_budget:,} response tokens ({section.token_budget_scope}), cut {section.cut}"
    yield (
        f"packed: {batch.rows} rows of about {batch.row_tokens_mean:,} tokens (at most {batch.row_tokens_bound:,}), "
        f"accumulated over {batch.gradient_accumulation_steps} micro-batches a rank; prompts taken as {prompt} tokens"
    )
    yield f"{steps} steps: {steps * batch.budget_step:,} tokens trained, {steps * batch.responses:,} rollouts"
    yield from _memory(
        parameters, 16 + (4 if trl.get("beta") else 0), "policy, AdamW" + ", reference" * bool(trl.get("beta"))
    )


def _memory(parameters: int | None, per_parameter: int, what: str) -> Iterator[str]:
    if parameters:
        yield f"memory: {parameters * per_parameter / 2**20:,.0f} MiB for {what}, and activations on top"
