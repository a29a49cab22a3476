"""What a published checkpoint holds, tensor by tensor, and clear words where one holds something else.

transformers fills what is missing with random numbers, leaves what is extra, and stacks the experts in the order in
which it finds them: a folder is therefore compared with its config before anything is loaded.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.models.bailing_moe.configuration import BailingMoeConfig

HEAD = "lm_head.weight"
_SHOWN = 3

Shapes = dict[str, tuple[int, ...]]


def published_shapes(config: BailingMoeConfig) -> Shapes:
    """The shape of every tensor of a checkpoint, by its published name; the head's too where it may be left out."""
    hidden = config.hidden_size
    shapes: Shapes = {
        "model.word_embeddings.weight": (config.vocab_size, hidden),
        "model.norm.weight": (hidden,),
        HEAD: (config.vocab_size, hidden),
    }
    for number in range(config.num_hidden_layers):
        layer = dict(layer_shapes(config, dense=number < config.first_k_dense_replace))
        shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    return shapes


def layer_shapes(config: Any, *, dense: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of one layer's tensors, without the layer's own prefix."""
    hidden, head = config.hidden_size, config.head_dim or config.hidden_size // config.num_attention_heads
    queries = config.num_attention_heads * head
    rows = queries + 2 * config.num_key_value_heads * head
    yield "input_layernorm.weight", (hidden,)
    yield "post_attention_layernorm.weight", (hidden,)
    yield "attention.query_key_value.weight", (rows, hidden)
    yield "attention.dense.weight", (hidden, queries)
    if config.use_qkv_bias:
        yield "attention.query_key_value.bias", (rows,)
    if config.use_bias:
        yield "attention.dense.bias", (hidden,)
    if dense:
        yield from _feed_forward("mlp", hidden, config.intermediate_size)
        return
    yield "mlp.gate.weight", (config.num_experts, hidden)
    for expert in range(config.num_experts):
        yield from _feed_forward(f"mlp.experts.{expert}", hidden, config.moe_intermediate_size)
    if config.num_shared_experts:
        width = config.moe_intermediate_size * config.num_shared_experts
        yield from _feed_forward("mlp.shared_experts", hidden, width)


def _feed_forward(prefix: str, hidden: int, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}.gate_proj.weight", (width, hidden)
    yield f"{prefix}.up_proj.weight", (width, hidden)
    yield f"{prefix}.down_proj.weight", (hidden, width)


def check_folder(folder: Path, config: BailingMoeConfig) -> None:
    """Raise UserError unless the safetensors in the folder hold exactly what the config says, by name and shape.

    A folder without safetensors is left to transformers.
    """
    found = stored_shapes(folder)
    if found:
        compare_shapes(found, published_shapes(config), {HEAD} if config.tie_word_embeddings else set(), str(folder))


def compare_shapes(found: Mapping[str, tuple[int, ...]], wanted: Shapes, optional: Set[str], where: str) -> None:
    """Raise UserError unless `found` is `wanted`, of which `optional` may be left out."""
    check_names(wanted.keys() - found.keys() - optional, found.keys() - wanted.keys(), where)
    for name, shape in found.items():
        if shape != wanted[name]:
            raise UserError(
                f"{name} has the shape {list(shape)}, where config.json makes it {list(wanted[name])}",
                where=where,
                hint="config.json and weights are of two models, or the config was changed by hand",
            )


def local_folder(name: Any, options: Mapping[str, Any]) -> Path | None:
    """The folder that a call of `from_pretrained` names; None for a hub id, a state dict, or a folder inside one."""
    if not isinstance(name, str | Path) or options.get("subfolder") or not Path(name).is_dir():
        return None
    return Path(name)


def check_names(missing: Iterable[str], extra: Iterable[str], where: str) -> None:
    """Raise UserError that names what a checkpoint lacks, or holds too much."""
    missing, extra = sorted(missing), sorted(extra)
    if missing == [HEAD] and not extra:
        raise UserError(
            f"the checkpoint holds no {HEAD}, and its config does not tie the head to the embeddings",
            where=where,
            hint="if they are tied, set tie_word_embeddings: true in its config.json",
        )
    if missing or extra:
        faults = [f"lacks {_some(missing)}"] * bool(missing) + [f"holds too much: {_some(extra)}"] * bool(extra)
        raise UserError(
            f"the checkpoint {' and '.join(faults)}",
            where=where,
            hint="download it again if it is incomplete; num_hidden_layers, num_experts, first_k_dense_replace and "
            "the biases in config.json must fit the weights",
        )


def check_tied(model: Any, where: str) -> None:
    """Raise UserError where the config ties head and embeddings, and the checkpoint holds a head of its own."""
    if model.config.tie_word_embeddings and model.lm_head.weight is not model.get_input_embeddings().weight:
        raise UserError(
            f"config.json says tie_word_embeddings: true, but {HEAD} is not the embeddings' weight",
            where=where,
            hint="set tie_word_embeddings: false in its config.json",
        )


def stored_shapes(folder: Path) -> Shapes:
    """Return the shapes of a folder's tensors by their names, from the headers alone; {} without safetensors."""
    from safetensors import SafetensorError, safe_open

    shapes: Shapes = {}
    for file in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(str(file), "pt") as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise UserError(
                f"not a whole safetensors file ({error})", where=str(file), hint="download it again"
            ) from None
    return shapes


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
