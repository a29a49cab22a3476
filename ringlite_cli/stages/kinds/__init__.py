"""The kinds of stage, one file a kind. Importing this loads neither torch nor TRL: the runners import them late."""

from ringlite_cli.stages.base import StageKind
from ringlite_cli.stages.kinds import curate, evaluate, reward_model, rl, select, sft

KINDS: dict[str, StageKind] = {
    stage.kind: stage for stage in (curate.STAGE, sft.STAGE, select.STAGE, reward_model.STAGE, rl.STAGE, evaluate.STAGE)
}
