"""Which of a machine's GPUs a process trains on."""

from typing import Any


def on_one_gpu(args: Any) -> Any:
    """TrainingArguments whose process trains on one GPU. transformers would spread a lone process over all that it sees
    by DataParallel, which takes packed rows apart; several GPUs train by `accelerate launch`, a rank each."""
    if args.n_gpu > 1:
        args._n_gpu = 1
    return args
