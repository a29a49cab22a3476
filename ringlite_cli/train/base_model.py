"""The model that a run starts from, as a plain Hugging Face folder: made new, copied, or taken out of a GGUF file.

A new model is a Ring-lite in miniature: any architecture that transformers ships (the demo's is a MoE with shared and
fine-grained routed experts), with random weights, and a small BPE tokenizer trained on the curated traces, digits
apart, with a chat template.
"""

import copy
import importlib.util
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.chat.templates import ChatOptions, settle
from ringlite_cli.errors import UserError, WorkFailed, first_line
from ringlite_cli.models import refuse_needless_trust, register
from ringlite_cli.models.adapters import merge_adapter
from ringlite_cli.models.embedding import check_embedding
from ringlite_cli.models.generation import end_tokens, mend_generation
from ringlite_cli.models.loading import load_checked, model_folder
from ringlite_cli.problems import Problem
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.whole import whole

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>")

_PIECES = r"[0-9]|</?think>\n?|\\boxed\{|```[a-z]*\n?| ?[A-Za-z_]+|\n *|[^0-9A-Za-z\s] ?| +"
"""How text is cut before BPE merges inside the pieces: every digit apart, words with the space before them."""


def prepare_model(
    model: Mapping[str, Any] | Any,
    problems: Sequence[Problem],
    out_dir: Path,
    seed: int,
    *,
    prompt_suffix: Mapping[str, str] | None = None,
    chat: ChatOptions = ChatOptions(),  # noqa: B008 (frozen)
) -> Path:
    """Writes the model before SFT to `out_dir` (a plain HF folder) and returns it; the folder appears whole.

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
                network = network.to(_dtype(section["dtype"], network))
            save_plain(network, tokenizer, partial)
    except OSError as error:
        raise WorkFailed(f"cannot write the model ({error.strerror or error})", where=str(out_dir)) from None
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


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer of at most `vocab_size` tokens, with chat template, end and pad token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>")
    fast.chat_template = CHAT_TEMPLATE
    fast.padding_side = "left"
    return fast


def new_model(config: Mapping[str, Any], tokenizer: Any, seed: int) -> Any:
    """A causal LM with random weights, drawn from `seed`, whose vocabulary is the tokenizer's.

    config: fields of a transformers config, `model_type` among them. Raises UserError where transformers refuses them.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    register()
    fields = dict(config)
    kind = fields.pop("model_type")
    fields |= {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    fields |= {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            settings = AutoConfig.for_model(kind, **fields)
            _refuse_unknown(settings, config)
            network = AutoModelForCausalLM.from_config(settings, dtype=torch.float32)
        except UserError:
            raise
        except Exception as error:  # transformers validates configs with many kinds of exception
            raise UserError(
                f"transformers refuses this config ({first_line(error)})", where="model.new.config"
            ) from None
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    network.generation_config.pad_token_id = tokenizer.pad_token_id
    return network


def compute_dtype(folder: Path, dtype: str | None) -> str:
    """What a policy is computed with, "float32" or "bfloat16"; "auto" is as its folder has it.

    Weights are trained in float32 in either case: AdamW steps of 1e-6 round away in bfloat16. A model in float16 is
    computed with in bfloat16, which needs no scaling of the loss.
    """
    written = written_dtype(folder, dtype)
    return "bfloat16" if written == "float16" else written


def written_dtype(folder: Path, dtype: str | None) -> str:
    """What a policy is written in, "float32", "bfloat16" or "float16"; "auto" is as its folder has it."""
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
    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=trust).get_text_config()
    return getattr(config, "max_position_embeddings", None)


def is_mixture(folder: Path) -> bool:
    """Whether a model folder's config speaks of experts."""
    return any("expert" in name for name in read_json(Path(folder) / "config.json"))


def save_plain(network: Any, tokenizer: Any, folder: Path, dtype: str | None = None) -> None:
    """Writes weights, config and tokenizer as a folder that anything can load.

    TRL's trainers leave `output_router_logits` on, with which a padded `generate` of a MoE crashes: it is reset.
    dtype: that the weights are written in; default: their own.
    """
    if hasattr(network.config, "output_router_logits"):
        network.config.output_router_logits = False
    if dtype in (None, str(network.dtype).removeprefix("torch.")):
        network.save_pretrained(folder)
    else:
        kind = _dtype(dtype, network)
        weights = {name: x.to(kind) if x.is_floating_point() else x for name, x in network.state_dict().items()}
        network.save_pretrained(folder, state_dict=weights)
        write_json(folder / "config.json", read_json(folder / "config.json") | {"dtype": dtype})
    tokenizer.save_pretrained(folder)


def _texts(problems: Sequence[Problem], suffix: Mapping[str, str]) -> list[str]:
    if not problems:
        raise UserError("no problems to train the new model's tokenizer on", where="model.new")
    tails = {tail for tail in suffix.values() if tail}
    return [*(f"{p.prompt}\n{p.trace or ''}" for p in problems), *tails]


def _refuse_unknown(settings: Any, config: Mapping[str, Any]) -> None:
    """A config class takes any keyword in silence; a misspelt one must not pass."""
    known = type(settings)().to_dict()
    unknown = [key for key in config if key not in known and not hasattr(type(settings), key)]
    if unknown:
        raise UserError(
            f"'{unknown[0]}' is not a field of {type(settings).__name__}",
            where="model.new.config",
            hint=_closest(unknown[0], known),
        )


def _closest(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), 1)
    return f"did you mean '{close[0]}'?" if close else "see the architecture's page in the transformers documentation"


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
    """Weights and tokenizer out of a GGUF file, dequantised.

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
    """Gives the tokenizer its chat template, end token and pad token. ends: where the model's generation ends."""
    settle(tokenizer, where, chat, [str(token) for token in tokenizer.convert_ids_to_tokens(list(ends))])
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"


def _dtype(name: str | None, network: Any) -> Any:
    import torch

    return network.dtype if name in (None, "auto") else getattr(torch, name)
