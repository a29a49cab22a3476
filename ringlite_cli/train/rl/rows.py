"""What C3POTrainer derives from its data set: how many packed rows a step has, and that a step can be filled at all."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.row_layout import Asked, mean_prompt_tokens, row_layout


def check_dataset(args: C3POConfig, dataset: Any) -> None:
    """Raise UserError for a data set whose prompts do not fill one rollout: nothing would be trained."""
    needed = args.prompts_per_step * args.updates_per_rollout
    if dataset is None or not hasattr(dataset, "__len__"):
        raise UserError("a data set with a length is needed", where="train_dataset", hint="load the stream into memory")
    if len(dataset) < needed:
        raise UserError(
            f"{len(dataset)} prompts do not fill a rollout of {needed}: nothing would be trained",
            where="train_dataset",
            hint="lower prompts_per_step (or updates_per_rollout), or give more prompts",
        )


def derive_rows(args: C3POConfig, model: Any, given: Mapping[str, Any]) -> None:
    """Set the batch fields of `args` by the mean length of the data set's prompts and the memory of the device.

    given: the trainer's keyword arguments. On a GPU where args.gradient_checkpointing is None, the layout decides it.
    """
    tokenizer = _tokenizer(model, given.get("processing_class"))
    prompts = given["train_dataset"][:256]["prompt"]
    mean_prompt = mean_prompt_tokens(tokenizer, prompts)
    asked = args.model_init_kwargs
    named = asked.get("dtype") if isinstance(asked, dict) else None
    dtype = str(named or getattr(model, "dtype", "float32"))
    layout, _ = row_layout(
        model,
        vars(args),
        Asked(
            longest=ceil(mean_prompt) + args.max_completion_length,
            responses=args.settings.responses(args.num_generations, args.world_size),
            row_tokens=args.row_tokens,
            bf16=bool(args.bf16),
            lora=given.get("peft_config"),
            frozen=2 if dtype.endswith("16") else 4,
        ),
    )
    args.gradient_checkpointing = layout.gradient_checkpointing
    args.take_rows(
        args.settings.batch(
            args.num_generations,
            args.max_completion_length,
            world_size=args.world_size,
            mean_prompt_tokens=mean_prompt,
            row_tokens=layout.row_tokens,
        )
    )


def _tokenizer(model: Any, processing_class: Any) -> Any:
    if processing_class is not None:
        return getattr(processing_class, "tokenizer", processing_class)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model if isinstance(model, str) else model.config._name_or_path)
