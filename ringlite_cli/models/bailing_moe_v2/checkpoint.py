"""What a published checkpoint of Ling 2.0 holds, tensor by tensor: the language model, and layers for further tokens.

Base checkpoints carry one layer for multi-token prediction, stored as the layer behind the last. It is no part of the
language model: training leaves it alone, saved policies keep it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from ringlite_cli.models.bailing_moe.checkpoint import HEAD, Shapes, compare_shapes, layer_shapes, stored_shapes
from ringlite_cli.models.bailing_moe_v2.configuration import BailingMoeV2Config
from ringlite_cli.models.extra_layers import extra_tensors


def published_shapes(config: BailingMoeV2Config) -> Shapes:
    """The shape of every tensor of the language model by its published name; the head's too where it is tied."""
    hidden = config.hidden_size
    shapes: Shapes = {
        "model.word_embeddings.weight": (config.vocab_size, hidden),
        "model.norm.weight": (hidden,),
        HEAD: (config.vocab_size, hidden),
    }
    for number in range(config.num_hidden_layers):
        layer = _layer(config, dense=number < config.first_k_dense_replace)
        shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer}
    return shapes


def extra_shapes(config: BailingMoeV2Config) -> Shapes:
    """The shape of every tensor of the layer for multi-token prediction; {} where the config has none."""
    hidden = config.hidden_size
    shapes: Shapes = {}
    for number in range(config.num_hidden_layers, config.num_hidden_layers + config.num_nextn_predict_layers):
        own = {f"{name}.weight": (hidden,) for name in ("enorm", "hnorm", "final_layernorm")}
        layer = own | {"eh_proj.weight": (hidden, 2 * hidden)} | dict(_layer(config, dense=False))
        shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    return shapes


def _layer(config: BailingMoeV2Config, *, dense: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from layer_shapes(config, dense=dense)
    if config.use_qk_norm:
        yield "attention.query_layernorm.weight", (config.head_dim or 0,)
        yield "attention.key_layernorm.weight", (config.head_dim or 0,)
    if not dense:
        yield "mlp.gate.expert_bias", (config.num_experts,)


def check_folder(folder: Path, config: BailingMoeV2Config) -> None:
    """Raise UserError unless the safetensors in the folder hold what the config says, by name and shape."""
    found = stored_shapes(folder)
    if found:
        check_published(config, found, str(folder))


def check_published(config: BailingMoeV2Config, found: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise UserError unless tensors under their published names are those of the config, by name and shape.

    A layer for multi-token prediction may be left out, but not in part.
    """
    extra = extra_shapes(config)
    if not extra_tensors(config, found):
        extra = {}
    optional = {HEAD} if config.tie_word_embeddings else set()
    compare_shapes(found, published_shapes(config) | extra, optional, where)
