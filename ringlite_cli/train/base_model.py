"""The model that a run starts from, as a plain Hugging Face folder: made new, copied, or taken out of a GGUF file."""

import copy
import importlib.util
import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.chat.templates import ChatOptions, settle
from ringlite_cli.config_numbers import context_length
from ringlite_cli.errors import UserError, WorkFailed, first_line, not_done
from ringlite_cli.models import refuse_needless_trust, register
from ringlite_cli.models.adapters import merge_adapter
from ringlite_cli.models.embedding import check_embedding
from ringlite_cli.models.generation import end_tokens, mend_generation
from ringlite_cli.models.loading import load_checked, model_folder
from ringlite_cli.models.new_model import new_model, train_tokenizer
from ringlite_cli.models.number_formats import round_weights, stays_float32
from ringlite_cli.problems import Problem
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.whole import whole


def prepare_model(
    model: Mapping[str, Any] | Any,
    problems: Sequence[Problem],
    out_dir: Path,
    seed: int,
    *,
    prompt_suffix: Mapping[str, str] | None = None,
    chat: ChatOptions = ChatOptions(),  # noqa: B008 (frozen)
) -> Path:
    """Write the model before SFT to `out_dir` (a plain HF folder) and return it; the folder appears whole.

    model: the recipe's section, {"new": {"vocab_size", "config"}} | {"path", "revision"?} | {"package", "gguf_file"}
        | {"path", "gguf_file"}, with "dtype" and "trust_remote_code".
    problems: train the new model's tokenizer; not read otherwise.
    chat: the chat template, its arguments and the end token; default: the model's own.
    Raises UserError for a model that cannot be found, read, or has no chat template.
    """
    section = model if isinstance(model, Mapping) else model.model_dump()
    out_dir = Path(out_dir)
    try:
        with whole(out_dir, folder=True) as partial:
            if section.get("new"):
                words = _texts(problems, prompt_suffix or {})
                tokenizer = train_tokenizer(words, section["new"].get("vocab_size", 512))
                settle(tokenizer, "model.new", chat)
                network = new_model(section["new"]["config"], tokenizer, seed)
            elif section.get("gguf_file"):
                network, tokenizer = _from_gguf(gguf_folder(section), section["gguf_file"], chat)
            else:
                network, tokenizer = _from_pretrained(section, chat)
            if section.get("dtype") not in (None, "auto"):
                round_weights(network, _dtype(section["dtype"], network))
            save_plain(network, tokenizer, partial)
    except OSError as error:
        raise not_done("cannot write the model", error, where=str(out_dir)) from None
    return out_dir


def make_tokenizer(
    section: Mapping[str, Any],
    problems: Sequence[Problem],
    *,
    prompt_suffix: Mapping[str, str] | None = None,
    chat: ChatOptions = ChatOptions(),  # noqa: B008 (frozen)
) -> tuple[Any, int | None]:
    """Return the tokenizer that `prepare_model` would write, without any weights, and the positions of the model.

    Arguments and errors are those of `prepare_model`.
    """
    from transformers import AutoTokenizer, GenerationConfig

    register()
    if new := section.get("new"):
        tokenizer = train_tokenizer(_texts(problems, prompt_suffix or {}), new.get("vocab_size", 512))
        settle(tokenizer, "model.new", chat)
        return tokenizer, new["config"].get("max_position_embeddings")
    if file := section.get("gguf_file"):
        folder = gguf_folder(section)
        tokenizer = AutoTokenizer.from_pretrained(str(folder), gguf_file=file)
        _check_tokenizer(tokenizer, str(folder / file), chat)
        return tokenizer, None
    name = str(Path(str(section["path"])).expanduser()) if str(section["path"]).startswith("~") else section["path"]
    common = {
        "revision": section.get("revision") or "main",
        "trust_remote_code": bool(section.get("trust_remote_code")),
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **common)
        positions = context_of(name, bool(common["trust_remote_code"]))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"cannot load the tokenizer ({first_line(error)})", where=f"model.path: {name}") from None
    try:
        named = GenerationConfig.from_pretrained(name, revision=common["revision"]).eos_token_id
    except OSError:
        named = None
    _check_tokenizer(tokenizer, str(name), chat, named if isinstance(named, list) else [named] if named else [])
    return tokenizer, positions


def compute_dtype(folder: Path, dtype: str | None) -> str:
    """Return what a policy is computed with, "float32" or "bfloat16"; "auto" is as its folder has it.

    Weights are trained in float32 in either case: AdamW steps of 1e-6 round away in bfloat16. A model in float16 is
    computed with in bfloat16, which needs no scaling of the loss.
    """
    written = written_dtype(folder, dtype)
    return "bfloat16" if written == "float16" else written


def frozen_dtype(folder: Path, computed: str) -> str:
    """Return the number format of weights that are not trained: what they are computed with, to hold nothing twice.

    computed: as `compute_dtype` says. A folder in float16 is held in float32, for bfloat16 would round its weights.
    """
    return "float32" if written_dtype(folder, None) == "float16" else computed


def written_dtype(folder: Path, dtype: str | None) -> str:
    """Return what a policy is written in, "float32", "bfloat16" or "float16"; "auto" is as its folder has it."""
    if dtype in ("float32", "bfloat16"):
        return dtype
    config = read_json(Path(folder) / "config.json")
    found = config.get("dtype") or config.get("torch_dtype") or (config.get("text_config") or {}).get("dtype")
    name = str(found).removeprefix("torch.")
    return name if name in ("float16", "bfloat16") else "float32"


def context_of(folder: Path | str, trust: bool = False) -> int | None:
    """Return the positions that a model takes, of the text part where it has several; None without a bound."""
    from transformers import AutoConfig

    register()
    return context_length(AutoConfig.from_pretrained(str(folder), trust_remote_code=trust))


def is_mixture(folder: Path) -> bool:
    """Whether a model folder's config speaks of experts."""
    return any("expert" in name for name in read_json(Path(folder) / "config.json"))


def save_plain(
    network: Any,
    tokenizer: Any,
    folder: Path,
    dtype: str | None = None,
    weights: Mapping[str, Any] | None = None,
    by_chance: Container[str] = (),
) -> None:
    """Write weights, config and tokenizer as a folder that anything can load.

    TRL's trainers leave `output_router_logits` on, with which a padded `generate` of a MoE crashes: it is reset.
    dtype: that the weights are written in; default: their own. weights: by their names in the network, where it does
    not hold them itself (they are shared out over ranks); default: the network's. by_chance: names of those that are
    rounded by chance; others get the nearest numbers.
    """
    if hasattr(network.config, "output_router_logits"):
        network.config.output_router_logits = False
    if weights is None and dtype in (None, str(network.dtype).removeprefix("torch.")):
        network.save_pretrained(folder)
    else:
        kind = _dtype(dtype, network)
        found = _own_weights(network) if weights is None else weights
        fixed = {name for name, x in found.items() if not x.is_floating_point() or stays_float32(network, name)}
        rounded = {
            name: x if name in fixed else _rounded(x, kind, name, chance=name in by_chance) for name, x in found.items()
        }
        network.save_pretrained(folder, state_dict=rounded)
        if dtype is not None:
            write_json(folder / "config.json", read_json(folder / "config.json") | {"dtype": dtype})
    tokenizer.save_pretrained(folder)


def _rounded(weight: Any, dtype: Any, name: str, *, chance: bool) -> Any:
    from ringlite_cli.models.rounding import round_by_chance

    return round_by_chance(weight.float(), dtype, name) if chance else weight.to(dtype)


def _own_weights(network: Any) -> dict[str, Any]:
    """Return the tensors that a checkpoint holds, by name; a weight that head and embedding share is there once."""
    kept = network.state_dict().keys()
    tensors = (*network.named_parameters(), *network.named_buffers())
    return {name: tensor.detach() for name, tensor in tensors if name in kept}


def _texts(problems: Sequence[Problem], suffix: Mapping[str, str]) -> list[str]:
    if not problems:
        raise UserError("no problems to train the new model's tokenizer on", where="model.new")
    tails = {tail for tail in suffix.values() if tail}
    return [*(f"{p.prompt}\n{p.trace or ''}" for p in problems), *tails]


def gguf_folder(section: Mapping[str, Any]) -> Path:
    """Return the folder that holds the GGUF file: a local path, or an installed package's (it is not imported).

    Raises UserError where the package or the file is not there.
    """
    if section.get("package"):
        spec = importlib.util.find_spec(section["package"])
        if spec is None or not spec.submodule_search_locations:
            raise UserError(
                f"the package '{section['package']}' is not installed",
                where="model.package",
                hint=f"pip install {section['package'].replace('_', '-')}",
            )
        folder = Path(next(iter(spec.submodule_search_locations)))
    else:
        folder = Path(section["path"])
    if not (folder / section["gguf_file"]).is_file():
        raise UserError(f"no file '{section['gguf_file']}' in {folder}", where="model.gguf_file")
    return folder


def _from_gguf(folder: Path, file: str, chat: ChatOptions) -> tuple[Any, Any]:
    """Read weights, dequantised, and tokenizer out of a GGUF file.

    transformers refuses to save a model loaded from GGUF, so its weights are copied into a fresh one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    try:
        loaded = AutoModelForCausalLM.from_pretrained(str(folder), gguf_file=file, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(str(folder), gguf_file=file)
    except ImportError as error:
        raise UserError(f"reading GGUF needs more ({first_line(error)})", hint="pip install 'ringlite[gguf]'") from None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"cannot read the GGUF file ({first_line(error)})", where=str(folder / file)) from None
    config = copy.deepcopy(loaded.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    missing, unexpected = fresh.load_state_dict(loaded.state_dict(), strict=False)
    if unexpected or [name for name in missing if not name.endswith("lm_head.weight")]:
        raise WorkFailed("the GGUF weights do not fit their architecture", where=str(folder / file))
    fresh.tie_weights()
    _check_tokenizer(tokenizer, str(folder / file), chat)
    fresh.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id
    )
    return fresh, tokenizer


def _from_pretrained(section: Mapping[str, Any], chat: ChatOptions) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    name = str(section["path"])
    revision, trust = section.get("revision") or "main", bool(section.get("trust_remote_code"))
    try:
        pickled = bool(section.get("allow_pickle"))
        folder = model_folder(name, revision, allow_pickle=pickled)
        if trust:
            refuse_needless_trust(str(folder))
        network = load_checked(folder, trust=trust, allow_pickle=pickled)
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust)
        if section.get("adapter"):
            if section.get("dtype") == "float32":
                round_weights(network, _dtype("float32", network))  # the sum is then exact
            network = merge_adapter(network, model_folder(str(section["adapter"])))
    except UserError:
        raise
    except Exception as error:  # hub, config and safetensors faults share no base class
        if isinstance(error, MemoryError):
            raise
        offline = " (offline: HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise UserError(
            f"cannot load the model ({first_line(error)}){offline}",
            where=f"model.path: {name}",
            hint="give a Hugging Face id that you can reach, or a folder that save_pretrained wrote",
        ) from None
    ends = end_tokens(network.generation_config)
    _check_tokenizer(tokenizer, name, chat, ends)
    check_embedding(network, tokenizer, name)
    if tokenizer.eos_token_id not in ends:
        network.generation_config.eos_token_id = [*ends, tokenizer.eos_token_id]
    mend_generation(network, name)
    return network, tokenizer


def _check_tokenizer(tokenizer: Any, where: str, chat: ChatOptions, ends: Sequence[int] = ()) -> None:
    """Give the tokenizer its chat template, end token and pad token. ends: where the model's generation ends."""
    settle(tokenizer, where, chat, [str(token) for token in tokenizer.convert_ids_to_tokens(list(ends))])
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"


def _dtype(name: str | None, network: Any) -> Any:
    import torch

    return network.dtype if name in (None, "auto") else getattr(torch, name)
