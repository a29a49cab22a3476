"""`ringlite show`: samples of an SFT stage as they are trained, without training."""

from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import Recipe, SftStage
from ringlite_cli.stages.base import Context
from ringlite_cli.stages.kinds.sft import chat_options, limits_of, problems_of


def show_samples(recipe: Recipe, stage: str | None, count: int, runs_dir: Path, console: Console) -> None:
    """Print the first `count` samples of an sft stage, and what is counted of all of them.

    Raises UserError for a stage that is none of SFT, and where its data is not there yet.
    """
    from ringlite_cli.chat.training import SampleMaker, TrainingSample
    from ringlite_cli.train.base_model import make_tokenizer
    from ringlite_cli.train.sft.samples import make_samples, said

    name = _stage(recipe, stage)
    context = Context(recipe, name, runs_dir / recipe.name, console)
    section: SftStage = context.section
    problems, read = problems_of(context)
    if section.policy:
        tokenizer, positions = make_tokenizer({"path": str(context.policy(section.policy))}, [])
    else:
        tokenizer, positions = make_tokenizer(
            recipe.model.model_dump(), problems, prompt_suffix=recipe.prompt_suffix, chat=chat_options(recipe)
        )
    maker = SampleMaker(tokenizer, recipe.prompt_suffix, recipe.thinking)
    limits = limits_of(section, positions)
    samples = make_samples(problems, maker, limits, recipe.seed, shown=count)
    samples.loss_on_prompts = section.trl_value("completion_only_loss") is False

    def show(place: int, sample: TrainingSample) -> None:
        console.head(
            f"sample {place} of {len(samples)}: {sample.id} ({sample.domain}), {len(sample.prompt_ids):,} tokens asked"
            f", {samples.with_loss(sample.tokens, len(sample.prompt_ids)):,} trained ({sample.how})"
        )
        end = "(cut here: no end is trained)" if sample.cut else f"{maker.end} ◀ end"
        style = "bold green" if samples.loss_on_prompts else "dim"
        heading = "[prompt, trained too]" if samples.loss_on_prompts else "[prompt, without loss]"
        console.parts((f"{heading}\n", "dim"), (sample.prompt, style))
        console.parts(("[trained]\n", ""), (sample.response, "bold green"), (end, "bold red"))

    for place, sample in enumerate(samples.shown, 1):
        show(place, sample)
    console.say(f"{len(samples):,} samples, {samples.trained_tokens:,} tokens with loss in an epoch")
    for line in said(read | samples.account(limits)):
        console.say(f"  {line}")


def _stage(recipe: Recipe, stage: str | None) -> str:
    names = [name for name, section in recipe.stages.items() if section.kind == "sft"]
    if not names or (stage is not None and stage not in names):
        what = f"no sft stage {stage!r}" if stage else "the recipe has no sft stage"
        raise UserError(what, where="--stage", hint=f"its sft stages are {', '.join(names) or 'none'}")
    return stage or names[0]
