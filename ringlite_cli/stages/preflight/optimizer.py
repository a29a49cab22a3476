"""What a training stage's `trl:` fields name and its config class does not try: optimizer, schedule, kernels, compiler.

The optimizer and the schedule are made as the Trainer makes them, for a weight of two by two numbers.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from ringlite_cli.errors import first_line
from ringlite_cli.stages.base import Context, Finding

_STEPS = 100
"""Steps that the schedule is tried over."""
_OF_THE_MODEL = ("params", "model", "optimizer_dict")
"""Arguments that an optimizer gets where it looks at the model's own layers; it is not made then."""


def training_can_be_made(context: Context, args: Any) -> Iterator[Finding]:
    """Make the optimizer and the schedule of a training config, and look for the kernels that it asks for.

    args: a finished SFTConfig or GRPOConfig.
    """
    where = f"stages.{context.name}.trl"
    yield from _liger(args, where)
    yield from _compiler(args, where)
    yield from _hub(args, where)
    try:
        optimizer = _optimizer(context, args)
    except ImportError as error:
        what = f"{_name(args.optim)!r} cannot be made here ({first_line(error)})"
        yield Finding(f"{where}.optim", what, "install what it asks for, or leave optim out", of_machine=True)
        return
    except Exception as error:  # optimizers of many packages raise exceptions of all kinds
        what = f"{_name(args.optim)!r} cannot be made with these settings ({first_line(error)})"
        yield Finding(f"{where}.optim", what, "see to optim, optim_args, learning_rate and the adam_ fields")
        return
    if optimizer is not None:
        yield from _schedule(args, optimizer, where)


def _name(value: Any) -> str:
    return str(getattr(value, "value", value))


def _optimizer(context: Context, args: Any) -> Any:
    """The optimizer of a tiny layer; None for one that is made from the model's own layers."""
    import torch
    from transformers import Trainer
    from transformers.trainer_optimizer import is_optimizer_factory

    layer = torch.nn.Linear(2, 2, bias=False)
    kind, given = Trainer.get_optimizer_cls_and_kwargs(args, _network(context) if args.optim_target_modules else layer)
    if any(name in given for name in _OF_THE_MODEL):
        return None
    return kind()(layer, **given) if is_optimizer_factory(kind) else kind(layer.parameters(), **given)


def _network(context: Context) -> Any:
    from ringlite_cli.models.sizes import network_without_weights

    return network_without_weights(context.recipe.model)


def _schedule(args: Any, optimizer: Any, where: str) -> Iterator[Finding]:
    from transformers import get_scheduler

    try:
        schedule = get_scheduler(
            args.lr_scheduler_type,
            optimizer=optimizer,
            num_warmup_steps=args.get_warmup_steps(_STEPS),
            num_training_steps=_STEPS,
            scheduler_specific_kwargs=args.lr_scheduler_kwargs,
        )
        for multiplier in getattr(schedule, "lr_lambdas", []):
            [float(multiplier(step)) for step in range(_STEPS + 1)]
    except Exception as error:  # whatever a schedule does with arguments that are not its own
        given = f" with {args.lr_scheduler_kwargs}" if args.lr_scheduler_kwargs else ""
        what = f"the schedule {_name(args.lr_scheduler_type)!r} cannot be made{given} ({first_line(error)})"
        yield Finding(f"{where}.lr_scheduler_kwargs", what, "give the arguments that this schedule takes")


def _liger(args: Any, where: str) -> Iterator[Finding]:
    """Liger's kernels, as far as they are asked for by name; where they are not, they are used if they are there."""
    if not args.use_liger_kernel:
        return
    if not find_spec("liger_kernel"):
        yield Finding(
            f"{where}.use_liger_kernel",
            "the package liger-kernel is not installed",
            "`pip install liger-kernel`, or set it to false",
            of_machine=True,
        )
    elif args.device.type == "cpu":
        what = "liger's kernels run on a GPU, and this training would run on the CPU"
        yield Finding(f"{where}.use_liger_kernel", what, "set it to false", of_machine=True)


def _compiler(args: Any, where: str) -> Iterator[Finding]:
    if not args.torch_compile:
        return
    import torch

    known = torch.compiler.list_backends(exclude_tags=())
    if args.torch_compile_backend not in known:
        what = f"torch has no compiler {args.torch_compile_backend!r}"
        yield Finding(f"{where}.torch_compile_backend", what, f"compilers are {', '.join(sorted(known))}")


def _hub(args: Any, where: str) -> Iterator[Finding]:
    """What `push_to_hub` needs: the Trainer makes the repository before its first step."""
    if not args.push_to_hub:
        return
    from huggingface_hub import get_token
    from huggingface_hub.constants import is_offline_mode

    if is_offline_mode():
        what = "the hub cannot be reached (HF_HUB_OFFLINE is set)"
    elif not (args.hub_token or get_token()):
        what = "the hub asks for a token, and there is none"
    else:
        return
    hint = "give HF_TOKEN, or leave push_to_hub out and upload the finished policy"
    yield Finding(f"{where}.push_to_hub", what, hint, of_machine=True)
