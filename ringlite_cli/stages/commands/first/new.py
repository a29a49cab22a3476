"""`ringlite new NAME --model M --data FILE`: a commented recipe whose columns, splits, lengths and budget fit."""

import os
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.data.guessing import open_file
from ringlite_cli.errors import RecipeErrors, UserError
from ringlite_cli.recipe.key_classes import operational
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.schema import RECIPE_NAME, RlStage
from ringlite_cli.recipe.section import Section
from ringlite_cli.stages.base import open_verifiers
from ringlite_cli.stages.commands.first.fit import Given, fit
from ringlite_cli.stages.commands.first.model import look_at_model, look_at_section
from ringlite_cli.stages.commands.first.text import Facts, recipe_text
from ringlite_cli.stages.commands.recipes import write_new

LIKE = "smollm2-gsm8k"


def new_recipe(
    name: str,
    data: Path,
    console: Console,
    *,
    like: str = LIKE,
    model: str = "",
    columns: str = "",
    domain: str | None = None,
) -> Path:
    """Write `NAME.yaml` and return it. Raises UserError before anything is written where no recipe would run."""
    target = _target(name)
    recipe = load_recipe(like)
    rl = next((s for s in recipe.stages.values() if isinstance(s, RlStage)), None)
    if rl is None:
        raise UserError("it has no rl stage to follow", where=f"--from {like}", hint="take smollm2-gsm8k, or demo")
    reading = open_file(data, columns, domain)
    named = recipe.model.model_dump(mode="json", exclude_unset=True)
    looked = look_at_model(model) if model else look_at_section(named)
    console.say(f"model  {looked.name}: {looked.in_words}")
    console.say(f"data   {data}: {reading.guess.in_words}")
    with open_verifiers(recipe.rewards) as verify:
        facts = fit(target.stem, Given(reading, looked, recipe, like, rl, verify), console)
    text = recipe_text(facts)
    _check(text, target)
    write_new(target, text)
    _say(facts, target, console)
    return target


def _target(name: str) -> Path:
    """The file that is written. Raises UserError where it is there, or the name is none of a recipe."""
    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    try:
        _Name.made(name=path.stem)
    except RecipeErrors:
        raise UserError(
            f"{path.stem!r} can't name a recipe", where="NAME", hint="use letters, digits, '-', '_' and '.'"
        ) from None
    if path.exists():
        raise UserError("the file is there already, and is left as it is", where=str(path), hint="give another name")
    if not path.parent.is_dir():
        raise UserError("no such folder", where=str(path.parent))
    return path


class _Name(Section):
    name: str = operational(pattern=RECIPE_NAME)


def _check(text: str, target: Path) -> None:
    """Load the recipe as `ringlite check` does, before it stands anywhere that it could be taken for done."""
    from ringlite_cli.stages.commands.check import load_checked

    draft = target.with_name(f".{target.stem}.{os.getpid()}.yaml")
    try:
        draft.write_text(text, encoding="utf-8")
        load_checked(str(draft))
    except OSError as error:
        raise UserError(f"it can't be written ({error.strerror})", where=str(target)) from None
    finally:
        draft.unlink(missing_ok=True)


def _say(facts: Facts, target: Path, console: Console) -> None:
    for note in facts.notes:
        console.warn(note)
    held = ", ".join(f"{name} {count:,}" for name, count in facts.counts.items())
    console.say(f"sets   {held or 'as large as the file allows'}")
    sizes = facts.sizes
    if facts.is_scored:
        console.say(
            f"rl     {sizes.max_steps} steps of {sizes.prompts_per_step} prompts x {sizes.responses} responses of at "
            f"most {sizes.max_completion_length:,} tokens, {sizes.token_budget:,} tokens trained a step"
        )
    console.say(f"wrote  {target}")
    console.say("next:")
    console.say(f"  ringlite check {target} --deep   # model, data and machine too")
    console.say(f"  ringlite plan {target}           # batches, memory, time")
    console.say(f"  ringlite run {target}            # Ctrl-C, and the same command goes on")
    console.say(f"  ringlite report runs/{facts.name}")
