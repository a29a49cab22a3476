"""Each key of a recipe changed by itself, in a stage that was interrupted and in one that is done: what becomes of it.

The decision is the real one, on a run whose stages are made of one small file; nothing is trained.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.composition import COMPOSED, COMPOSING
from ringlite_cli.recipe.key_classes import TRL_LENGTH, TRL_OPERATIONAL, TRL_TUNABLE, is_tunable, key_class
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.schema import Difficulty, Distill, Recipe, RecipeHead, Responder, RlProbe
from ringlite_cli.recipe.section import Section
from ringlite_cli.recipe.trl_fields import trl_fields
from ringlite_cli.recipe.trl_rules import TRL_RULES
from ringlite_cli.runs.files import write_json
from ringlite_cli.runs.manifest import Manifest, read_manifest
from ringlite_cli.stages.base import Context, StageResult
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk.decide import Decision, Walk, decide
from ringlite_cli.stages.walk.pipeline import run_pipeline

CHECKPOINTS = {"sft": "trainer", "rl-math": "checkpoints"}
CONFIG = {"sft": "SFTConfig", "rl-math": "GRPOConfig"}
LORA = ("stages.rl-math.lora={r: 4}", "stages.rl-math.router_balance_coef=0", "stages.rl-math.router_z_loss_coef=0")
MODEL = Responder(path="some/model")
PLAIN: dict[str, Any] = {
    **{"difficulty": Difficulty(models=[MODEL]), "distill": Distill(teacher=MODEL), "labels.model": MODEL},
    **{
        "rl_probe": RlProbe(data="curate.math"),
        "policy": "sft",
        "policies": ["base"],
        "chat_template": "{{ messages }}",
        "algorithm": "grpo",
    },
}
"""Other values of keys that name something."""
NOT_BY_ITSELF = {"kind", "stages", "candidates", "domains", "policy of sft"}
"""Keys without another value that a recipe could have: they name what it is, or the one stage that there is."""
ORIGIN = ("model.path", "model.revision", "model.adapter", "model.package", "model.gguf_file", "model.new")
"""Keys that say where the weights come from. Behind SFT its result stands for them."""
GUARDED = "guard"
"""Rules of the guard count while they may roll back, and not while they only log or pause: both may go on."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A whole run of the toy recipe, whose stages wrote one small file each."""
    folder = tmp_path_factory.mktemp("runs") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in KINDS.items():
            patch.setitem(KINDS, name, replace(kind, run=_work, preflight=tuple, code=("errors.py",)))
        recipe = load_recipe("toy", LORA)
        run_pipeline(recipe, folder, Walk(list(recipe.stages)), Console())
        yield folder


def _work(context: Context) -> StageResult:
    path = context.folder / "out.txt"
    path.write_text(context.name)
    sets = context.section.sets if context.section.kind == "curate" else ()
    checkpoint = context.folder / CHECKPOINTS.get(context.name, "none") / "checkpoint-2"
    write_json(checkpoint / "ringlite_seal.json", {"ranks": 1, "files": {}})
    return StageResult(outputs=dict.fromkeys([*KINDS[context.section.kind].artifacts, *sets], path))


def decided(run: Path, recipe: Recipe, stage: str, **how: bool) -> Decision:
    made = {name: manifest for name in recipe.stages if (manifest := read_manifest(run / name))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values of other types than the key's
        return decide(Context(recipe, stage, run, Console()), Walk([stage], **how), made)


def another(where: tuple[str, ...], value: Any) -> Any:
    for name in (".".join(where), where[-1]):
        if name in PLAIN:
            return PLAIN[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 + 3
    if isinstance(value, tuple):
        return (0.01, 9.0)
    if isinstance(value, list):
        return value[:-1] if len(value) > 1 else [*value, "another"]
    return {**value, "another": "value"} if isinstance(value, dict) else f"{value or ''}another"


def other_sections(section: Section, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, Section]]:
    """Give (dotted key, class, section with another value of it) for each key of a section and of those in it."""
    for name, key in type(section).model_fields.items():
        value, where = getattr(section, name), (*path, name)
        if name in NOT_BY_ITSELF or f"{name} of {getattr(section, 'kind', '')}" in NOT_BY_ITSELF or name == "trl":
            continue
        kind = "tunable" if is_tunable(key) else key_class(key) or "objective"
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], Section) else value
        if isinstance(inner, Section):
            for dotted, inner_kind, other in other_sections(inner, where):
                changed = [other, *value[1:]] if isinstance(value, list) else other
                strongest = inner_kind if kind == "objective" or inner_kind == "operational" else kind
                yield dotted, strongest, section.model_copy(update={name: changed})
        if not isinstance(value, Section):
            yield ".".join(where), kind, section.model_copy(update={name: another(where, value)})


def other_recipes(recipe: Recipe, stage: str) -> Iterator[tuple[str, str, Recipe]]:
    """Give each key that may concern a stage, its class, and the recipe with another value of it."""
    for key, kind, section in other_sections(recipe.stages[stage]):
        yield key, kind, recipe.model_copy(update={"stages": {**recipe.stages, stage: section}})
    is_first = recipe.stages[stage].kind == "sft"
    used = {*KINDS[recipe.stages[stage].kind].uses_of(recipe.stages[stage]), "seed"}
    for key, kind, head in other_sections(RecipeHead(**{n: getattr(recipe, n) for n in RecipeHead.model_fields})):
        parts = {name: getattr(head, name) for name in RecipeHead.model_fields}
        counts = key.partition(".")[0] in used and (is_first or not key.startswith(ORIGIN))
        counts &= recipe.stages[stage].kind in COMPOSING or key.split(".")[1:2] not in [[name] for name in COMPOSED]
        yield key, kind if counts else "operational", recipe.model_copy(update=parts)


def other_trl(recipe: Recipe, stage: str) -> Iterator[tuple[str, str, Recipe]]:
    """The same for the fields of TRL's config that a recipe may set."""
    section: Any = recipe.stages[stage]
    for field in trl_fields(CONFIG[stage]):
        if (rule := TRL_RULES[CONFIG[stage]].get(field)) and rule.refused:
            continue
        kind = "operational" if field in TRL_OPERATIONAL else "tunable" if field in TRL_TUNABLE else "objective"
        value = section.trl[field] * 2 if field in TRL_LENGTH and field in section.trl else "another"
        if field == "max_steps" and value == "another":
            value = 50
        other = section.model_copy(update={"trl": {**section.trl, field: value}})
        length = "length" if field in TRL_LENGTH else kind
        yield f"trl.{field}", length, recipe.model_copy(update={"stages": {**recipe.stages, stage: other}})


def interrupted(run: Path, stage: str) -> None:
    manifest = read_manifest(run / stage)
    assert isinstance(manifest, Manifest)
    manifest.status = "interrupted"
    manifest.write(run / stage)


def outcome(run: Path, recipe: Recipe, stage: str) -> tuple[str, Mapping[str, Any]]:
    """Return what becomes of an interrupted stage with another recipe, and the keys that it notes as changed."""
    try:
        decision = decided(run, recipe, stage)
        changes = decision.changes.keys if decision.changes else {}
        return ("asks nothing" if decision.action == "go on" else decision.action), changes
    except UserError as refused:
        first = str(refused)
    try:
        decision = decided(run, recipe, stage, go_on=True)
    except UserError as refused:
        said = str(refused)
        return ("refused" if "--fresh begins it again (the checkpoints are kept aside)" in said else said), {}
    assert "--go-on continues" in first
    assert decision.changes
    return ("goes on" if decision.action == "go on" else decision.action), decision.changes.keys


WANTED = {"operational": "asks nothing", "length": "asks nothing", "tunable": "goes on", "objective": "refused"}


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "least"), [("sft", 170), ("rl-math", 250)])
def test_an_interrupted_training_stage(run: Path, stage: str, least: int) -> None:
    recipe = load_recipe("toy", LORA)
    interrupted(run, stage)
    counts: Counter[str] = Counter()
    wrong = []
    for key, kind, other in [*other_recipes(recipe, stage), *other_trl(recipe, stage)]:
        became, noted = outcome(run, other, stage)
        counts[f"{kind}: {became}"] += 1
        wanted = ("asks nothing", "goes on") if key.startswith(GUARDED) else (WANTED[kind],)
        if became not in wanted or (became == "goes on" and not any(key in name for name in noted)):
            wrong.append(f"{key} ({kind}): {became}, noted {dict(noted)}")
    print(f"{stage}: {dict(counts)}")
    assert wrong == []
    assert sum(counts.values()) >= least


@pytest.mark.parametrize(
    ("batch", "wanted"),
    [((4, 2), "goes on"), ((8, 1), "asks nothing"), ((2, 4), "goes on"), ((4, 1), "refused"), ((8, 2), "refused")],
)
def test_a_step_of_sft_in_other_parts_goes_on(run: Path, batch: tuple[int, int], wanted: str) -> None:
    """The toy recipe has 8 samples a step, in one part."""
    interrupted(run, "sft")
    names = ("per_device_train_batch_size", "gradient_accumulation_steps")
    changes = [f"stages.sft.trl.{name}={number}" for name, number in zip(names, batch, strict=True)]
    assert outcome(run, load_recipe("toy", [*LORA, *changes]), "sft")[0] == wanted


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["curate", "select", "rl-mixed", "eval"])
def test_a_stage_that_is_done(run: Path, stage: str) -> None:
    recipe, wrong = load_recipe("toy", LORA), []
    for key, kind, other in other_recipes(recipe, stage):
        became = decided(run, other, stage).action
        if (became == "keep") != (kind == "operational") and not key.startswith(GUARDED):
            wrong.append(f"{key} ({kind}): {became}")
    assert wrong == []
