"""The kinds of stage. One file a kind; importing this loads neither torch nor TRL (the runners import them late)."""

from ringlite_cli.stages import curate, evaluate, rl, select, sft
from ringlite_cli.stages.base import StageKind

KINDS: dict[str, StageKind] = {
    stage.kind: stage for stage in (curate.STAGE, sft.STAGE, select.STAGE, rl.STAGE, evaluate.STAGE)
}
