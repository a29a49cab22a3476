"""Load a language model from a folder so that nothing in it is random, left out or changed without a word."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.models.architecture import read_config
from ringlite_cli.models.checkpoint_fit import Fit, fit_checkpoint
from ringlite_cli.models.generation import folder_generation
from ringlite_cli.models.headers import Headers, float_format, open_tensors, read_headers
from ringlite_cli.models.pickled import read_pickled

log = logging.getLogger(__name__)

_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.py", "model*.safetensors")
_PICKLED = "pytorch_model*.bin"
_QUICKLY_READ = 1 << 30
"""Bytes of weights that a quick check still reads whole, in about a second."""
_FIRST_ROWS = 8


def model_folder(name: str, revision: str | None = None, *, allow_pickle: bool = False) -> Path:
    """Return the local folder of a model: `name` itself, or a hub id's files in the cache, downloaded where they lack.

    Raises UserError for a folder that is not there; the hub's own exceptions for an id that cannot be reached.
    """
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError("no such model folder", where=f"model.path: {name}")
    from huggingface_hub import snapshot_download

    patterns = [*_FILES, _PICKLED] if allow_pickle else list(_FILES)
    return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))


def check_model_files(
    folder: Path, *, trust: bool = False, allow_pickle: bool = False, quick: bool = False
) -> Fit | None:
    """Check a model folder by its config, the headers of its weights, and whether these are finite numbers.

    quick: of weights that take long to read, look at the first rows of each tensor alone.
    None for pickled weights, whose names need no mending. Raises UserError for everything that would make the model
    another than the folder's.
    """
    config = read_config(folder, trust=trust)
    _refuse_quantised(config, str(folder))
    headers = read_headers(folder)
    if headers:
        fit = fit_checkpoint(config, headers, folder, trust=trust)
        size = sum(file.stat().st_size for file in {stored.file for stored in headers.values()})
        check_finite(headers, rows=_FIRST_ROWS if quick and size > _QUICKLY_READ else None)
        return fit
    if allow_pickle and (pickled := read_pickled(folder)):
        if fit_checkpoint(config, pickled, folder, trust=trust).renames:
            raise UserError(
                "the pickled weights were saved under a wrapper's names",
                where=str(folder),
                hint="save the model under it by save_pretrained, as safetensors",
            )
        return None
    found = sorted(x.name for x in folder.glob("*") if x.suffix in (".safetensors", ".bin", ".pt", ".pth", ".gguf"))
    hint = f"it holds {', '.join(found[:3])}" if found else "it may be half written; save it again"
    if any(name.endswith(".bin") for name in found):
        hint += "; allow_pickle: true loads weights that are no safetensors"
    raise UserError("the model folder holds no model.safetensors", where=str(folder), hint=hint)


def load_checked(folder: Path, *, trust: bool = False, allow_pickle: bool = False) -> Any:
    """Return the causal language model of a folder, in the number format of its weights, once all is checked.

    What is mended is said as a warning. Raises UserError as check_model_files, and for weights that are not finite.
    """
    fit = check_model_files(folder, trust=trust, allow_pickle=allow_pickle)
    headers = read_headers(folder)
    for note in fit.notes if fit else ():
        log.warning("%s: %s", folder, note)
    network = _load(folder, headers, fit, trust)
    if not headers:
        _check_finite_weights(network, str(folder))
    return network


def check_finite(headers: Headers, *, rows: int | None = None) -> None:
    """Raise UserError that names the tensors which hold NaN or infinite numbers; reads all weights once.

    rows: look at no more than these first rows of each tensor.
    """
    bad = [name for name, x in open_tensors(headers, rows=rows) if x.is_floating_point() and not _is_finite(x)]
    if bad:
        file = headers[bad[0]].file
        raise _not_finite(bad, str(file))


def _check_finite_weights(network: Any, where: str) -> None:
    bad = [name for name, x in network.named_parameters() if not _is_finite(x.detach())]
    if bad:
        raise _not_finite(bad, where)


def _is_finite(weights: Any) -> bool:
    """Whether all weights are numbers: their extremes are, for NaN is one of them. 30 times as fast as `isfinite`."""
    if not weights.numel():
        return True
    known = weights if weights.element_size() > 1 else weights.float()
    return all(bool(extreme.isfinite()) for extreme in known.aminmax())


def _not_finite(names: list[str], where: str) -> UserError:
    return UserError(
        f"{len(names)} weights are not finite numbers (NaN or infinite), as {names[0]}",
        where=where,
        hint="the training that wrote them diverged, or they overflowed float16; take an earlier checkpoint",
    )


def _load(folder: Path, headers: Headers, fit: Fit | None, trust: bool) -> Any:
    from transformers import AutoModelForCausalLM

    settings = folder_generation(folder)
    if fit is not None and fit.renames:
        network = _load_renamed(folder, headers, fit.names, trust)
    else:
        given = {} if settings is None else {"generation_config": settings}
        network = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=_dtype(folder, headers, trust),
            use_safetensors=None if fit is None else True,
            trust_remote_code=trust,
            **given,
        )
    if settings is not None:
        network.generation_config = settings
    return network


def _load_renamed(folder: Path, headers: Headers, names: Mapping[str, str], trust: bool) -> Any:
    """Load with other names than the checkpoint's, tensor by tensor from its files."""
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    config = read_config(folder, trust=trust)
    with torch.device("meta"):
        kind = type(AutoModelForCausalLM.from_config(config, trust_remote_code=trust))
    with ExitStack() as files:
        opened = {
            file: files.enter_context(safe_open(file, "pt")) for file in {stored.file for stored in headers.values()}
        }
        tensors = {new: opened[headers[name].file].get_slice(name) for name, new in names.items()}
        dtype = _dtype(folder, headers, trust)
        chosen = getattr(torch, dtype) if dtype != "auto" else config.dtype
        return kind.from_pretrained(None, config=config, state_dict=tensors, dtype=chosen)


def _dtype(folder: Path, headers: Headers, trust: bool) -> str:
    """The number format of the config, else the one that most weights are stored in."""
    if read_config(folder, trust=trust).dtype is not None:
        return "auto"
    return float_format(headers) or "auto"


def _refuse_quantised(config: Any, where: str) -> None:
    quantised = getattr(config, "quantization_config", None)
    method = quantised.get("quant_method") if isinstance(quantised, dict) else getattr(quantised, "quant_method", None)
    if quantised and str(method) != "mxfp4":
        raise UserError(
            f"the weights are quantised ({method})",
            where=where,
            hint="train the unquantised model, in bfloat16 or float32",
        )
