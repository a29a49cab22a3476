"""One RL step on this machine: rows, their length and gradient checkpointing, from the memory there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ringlite_cli.chat.rendering import prompt_text
from ringlite_cli.errors import UserError
from ringlite_cli.memory.asked import WHAT_FITS, beside_of, has_fused_kernels, optimizer_name, scores_kept
from ringlite_cli.memory.held import CONTEXT, Shape, Training
from ringlite_cli.memory.layout import RowLayout, choose_layout
from ringlite_cli.memory.shapes import shape_of
from ringlite_cli.models.lora_targets import with_adapter
from ringlite_cli.recipe.batch_plan import CPU_ROW_TOKENS
from ringlite_cli.recipe.trl_fields import trl_default
from ringlite_cli.train.devices import memory_here, offloads, reshards, sharing_ranks


def mean_prompt_tokens(tokenizer: Any, prompts: Sequence[Any]) -> float:
    """Return the mean length in tokens of up to 256 prompts, each text or a conversation.

    Enough for the layout of rows, which adapts to the real lengths anyway.
    """
    some = list(prompts[:256])
    texts = some if isinstance(some[0], str) else _as_texts(tokenizer, some)
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return sum(map(len, ids)) / len(ids)


def _as_texts(tokenizer: Any, conversations: Sequence[Any]) -> list[str]:
    return [prompt_text(tokenizer, conversation) for conversation in conversations]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run asks of the memory of a rank, beside TRL's fields.

    longest: tokens of the longest sample with its prompt. responses: that a rank draws at a time. bf16: computed with
    in bfloat16. lora: the adapter that is trained alone, a peft config; beside weights of `frozen` bytes each. scorer:
    bytes of a reward model on the rank's GPU. lent: bytes that the run's engine takes there: the stage goes on with it,
    or it ends before another starts.
    """

    longest: int
    responses: int
    row_tokens: int | None = None
    bf16: bool = True
    lora: Any = None
    frozen: int | None = None
    scorer: int = 0
    lent: int = 0


def row_layout(policy: Any, trl: Mapping[str, Any], asked: Asked) -> tuple[RowLayout, float | None]:
    """Return the layout for training a policy, and the share of memory for an engine beside it, None on a CPU.

    policy: a model's folder, its hub id, or the model. `asked.row_tokens`, `trl.gradient_checkpointing` and
    `trl.vllm_gpu_memory_utilization` decide if given. On a CPU rows are short and nothing is recomputed.
    Raises UserError for what cannot fit, with its numbers.
    """
    import torch

    checkpointing = trl.get("gradient_checkpointing")
    if not torch.cuda.is_available():
        return RowLayout(asked.row_tokens or max(CPU_ROW_TOKENS, asked.longest), bool(checkpointing)), None
    shape = _shape(policy, asked.lora)
    free, total = memory_here(float(trl.get("ddp_timeout") or trl_default("GRPOConfig", "ddp_timeout")))
    layout, fit = choose_layout(
        shape,
        Training(
            bf16=asked.bf16,
            frozen=asked.frozen,
            reference=bool(trl.get("beta")),
            optimizer=optimizer_name(trl),
            shards=sharing_ranks(),
            offload=offloads(),
            reshard=reshards(),
            fused=bool(trl.get("use_liger_kernel", find_spec("liger_kernel") is not None))
            and has_fused_kernels(shape.config),
            scorer=asked.scorer,
            scores=scores_kept(
                shape.config, (trl.get("model_init_kwargs") or {}).get("attn_implementation"), asked.longest
            ),
        ),
        asked.longest,
        free + CONTEXT + asked.lent,  # which are taken already
        beside_of(trl, shape, responses=asked.responses, length=asked.longest, bf16=asked.bf16),
        total=total,
        row_tokens=asked.row_tokens,
        checkpointing=checkpointing,
    )
    if found := fit.faults():
        raise UserError("; ".join(found), where="memory of a GPU", hint=WHAT_FITS)
    return layout, fit.share if fit.beside else None


def _shape(policy: Any, lora: Any) -> Shape:
    """Return the shape of a model, with an adapter where one is to be trained; without its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    network = policy
    if not hasattr(policy, "named_parameters"):
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(policy))
    if lora is not None and not hasattr(network, "peft_config"):
        network = with_adapter(network, lora)
    return shape_of(network)
