"""What a reward-model stage needs before it works: pairs that can be read, and a model that can score."""

from collections.abc import Iterator
from pathlib import Path

from ringlite_cli.errors import UserError
from ringlite_cli.models.sizes import config_of
from ringlite_cli.recipe.reward_model import PairSource
from ringlite_cli.recipe.schema import RewardModelStage
from ringlite_cli.stages.base import Context, Finding
from ringlite_cli.stages.parts.made_pairs import refuse_own_scores
from ringlite_cli.stages.preflight.made_sets import made_set

_FIRST = 1000
"""Rows that are read before the work begins."""


def pairs_can_be_had(context: Context) -> Iterator[Finding]:
    """Read the first pairs of a file, or look at the set that pairs are made of."""
    from ringlite_cli.data.pairs import load_pairs, local_files

    section: RewardModelStage = context.section
    key = f"stages.{context.name}"
    if section.data is not None:
        try:
            if section.data.path or local_files(section.data):
                found = load_pairs(section.data, _FIRST)
                if not found.pairs:
                    reasons = " and ".join(f"{count} {reason}" for reason, count in found.left_out.items())
                    what = f"none of the first {found.rows} rows is a pair ({reasons})"
                    yield Finding(f"{key}.data", what, fatal=_all_is_read(section.data, found.rows))
        except UserError as error:
            yield Finding(f"{key}.data", str(error))
        return
    assert section.pairs is not None
    problems = made_set(context, section.pairs.data)
    lacks_another = context.recipe.rewards.reward_model in ("", context.name)
    if problems and section.pairs.rule == "verifier" and lacks_another:
        try:
            refuse_own_scores(problems, context.name)
        except UserError as error:
            yield Finding(error.where, error.what, error.hint)


def _all_is_read(source: PairSource, rows: int) -> bool:
    return rows < _FIRST or (source.rows or rows + 1) <= rows


def can_become_a_reward_model(context: Context) -> Iterator[Finding]:
    """Check that transformers has a classifier of sequences for the recipe's architecture."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    model = context.recipe.model
    try:
        config = config_of(model)
    except Exception:
        return  # what is wrong with the model itself is another check's to say
    own_code = bool(model.trust_remote_code and Path(model.path or "").is_dir())
    if config is not None and not own_code and type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        what = f"transformers has no classifier of sequences of the kind {config.model_type}, which this stage trains"
        hint = "train the reward model by a recipe of its own with another model, and give its folder"
        yield Finding(f"stages.{context.name}", what, hint)
