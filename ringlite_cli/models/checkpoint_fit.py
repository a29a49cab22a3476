"""Whether the tensors of a checkpoint are those of its config: found from names and shapes, without the weights.

transformers fills what is missing with random numbers and leaves out what it does not know, with a warning at most.
Here the same loading code runs on tensors without content (torch's meta device), and what it misses is an error.
Names that a wrapper was saved with (FSDP, torch.compile, DDP, peft ...) are mended.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.models.extra_layers import extra_tensors
from ringlite_cli.models.headers import Headers

_WRAPPERS = re.compile(
    r"(?<![^.])(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module|_fpw_module|"
    r"base_layer|base_model\.model)\."
)
"""Parts of a name that a wrapper adds, wherever they stand in it."""
_ADAPTER = re.compile(r"\.(lora_[A-Za-z_]+|modules_to_save|original_module)\.")
_DERIVED = re.compile(r"(rotary_emb\.[a-z_]+|inv_freq|\.attn\.(masked_)?bias|_extra_state)$")
"""Tensors that follow from the config; older versions of transformers saved them."""
_OTHER_PARTS = re.compile(
    r"(^|\.)(visual|vision_[a-z]+|audio_[a-z]+|multi_modal_projector|mm_projector|mtp|v_head|value_head|score)\."
)
"""Parts beside the language model: towers for images and sound, heads for more tokens at once or for values."""
_SHOWN = 3


@dataclass(frozen=True)
class Fit:
    """How a checkpoint goes into its model.

    names: name in the checkpoint -> name that transformers knows; left_out: tensors that the language model lacks.
    notes: what was mended, in words.
    """

    names: dict[str, str]
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def renames(self) -> bool:
        """Return whether the names are others than the checkpoint's own."""
        return any(name != new for name, new in self.names.items())


@dataclass(frozen=True)
class _Trial:
    """What loading would do: model tensors without content, shapes that differ, tensors without a place."""

    missing: list[str]
    misshaped: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    unexpected: list[str]
    config: Any
    refused: str = ""
    error: UserError | None = None

    @property
    def fits(self) -> bool:
        return not (self.missing or self.misshaped or self.refused or self.unknown)

    @property
    def unknown(self) -> list[str]:
        further = set(extra_tensors(self.config, self.unexpected))
        return [name for name in self.unexpected if name not in further and not _OTHER_PARTS.search(name)]

    @property
    def badness(self) -> tuple[bool, int]:
        return bool(self.refused), len(self.missing) + len(self.misshaped) + len(self.unknown)


def fit_checkpoint(config: Any, headers: Headers, where: Path | str, *, trust: bool = False) -> Fit:
    """Return how the tensors of `headers` go into the causal language model of `config`.

    Raises UserError where tensors are missing, of another shape, or of another model.
    """
    where = str(where)
    _check_formats(headers, where)
    if adapted := [name for name in headers if _ADAPTER.search(name)]:
        raise UserError(
            f"the weights hold an adapter that was not merged, as {adapted[0]}",
            where=where,
            hint="save what peft's merge_and_unload() gives, or name base and adapter by model.path and model.adapter",
        )
    wanted = _Wanted(config, trust)
    if hasattr(wanted.model, "check_published"):
        wanted.model.check_published(config, {name: x.shape for name, x in headers.items()}, where)
    further = extra_tensors(config, headers)
    first: _Trial | None = None
    for names, note in _namings(headers, wanted):
        trial = wanted.trial(headers, names)
        if trial.fits:
            notes = [note] if note else []
            left_out = sorted({*trial.unexpected, *further})
            if left_out:
                notes.append(f"left out, as no part of the language model: {_some(left_out)}")
            return Fit(names, left_out, notes)
        first = trial if first is None or trial.badness < first.badness else first
    assert first is not None
    raise _fault(first, config, where)


class _Wanted:
    """The model of a config on torch's meta device, as a loader of names and shapes."""

    def __init__(self, config: Any, trust: bool) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.config = config
        with torch.device("meta"):
            self.model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust)

    def published_names(self) -> set[str]:
        """Names of a checkpoint of this model, as `save_pretrained` writes them."""
        from transformers.core_model_loading import revert_weight_conversion

        own = self.model.state_dict()
        try:
            return {*own, *revert_weight_conversion(self.model, dict(own))}
        except Exception:  # conversions are code of each architecture, and not all run without content
            return set(own)

    def trial(self, headers: Headers, names: Mapping[str, str]) -> _Trial:
        """Load tensors without content under those names."""
        import torch
        from transformers.utils import logging

        empty = {
            new: torch.empty(headers[name].shape, device="meta")
            for name, new in names.items()
            if not _DERIVED.search(new)
        }
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        try:
            _, info = type(self.model).from_pretrained(
                None,
                config=self.config,
                state_dict=empty,
                dtype=torch.float32,
                device_map={"": "meta"},
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except UserError as error:  # an architecture that checks its own checkpoints
            return _Trial([], [], [], self.config, str(error), error)
        except Exception as error:  # a conversion that does not fit raises whatever its operation does
            return _Trial([], [], [], self.config, " ".join(str(error).split())[:300] or type(error).__name__)
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
        shapes = [(name, tuple(stored), tuple(own)) for name, stored, own in info["mismatched_keys"]]
        refused = "; ".join(map(str, info.get("error_msgs") or ()))
        return _Trial(
            sorted(info["missing_keys"]), sorted(shapes), sorted(info["unexpected_keys"]), self.config, refused
        )


def _namings(headers: Headers, wanted: _Wanted) -> Iterable[tuple[dict[str, str], str]]:
    """The names to try, each with the note that says what was changed: as they are, without wrappers, by their ends."""
    yield {name: name for name in headers}, ""
    bare = {name: _WRAPPERS.sub("", name) for name in headers}
    if _is_one_to_one(bare) and any(name != new for name, new in bare.items()):
        yield bare, _renamed(bare)
    known = wanted.published_names()
    ends = {name: _longest_end(new, known) for name, new in bare.items()}
    if _is_one_to_one(ends) and ends != bare:
        yield ends, _renamed(ends)


def _longest_end(name: str, known: set[str]) -> str:
    """The longest end of a dotted name that is a known name, or the name itself."""
    parts = name.split(".")
    ends = (".".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in known), name)


def _is_one_to_one(names: Mapping[str, str]) -> bool:
    return len(set(names.values())) == len(names)


def _renamed(names: Mapping[str, str]) -> str:
    changed = [(name, new) for name, new in sorted(names.items()) if name != new]
    name, new = changed[0]
    return f"{len(changed)} weights were saved under a wrapper's names; read without them: {name} as {new}"


def _check_formats(headers: Headers, where: str) -> None:
    packed = [(name, x.dtype) for name, x in headers.items() if x.dtype.startswith("F8") or x.dtype in ("U8", "I32")]
    if packed and len(packed) * 4 > len(headers):
        raise UserError(
            f"the weights are quantised ({packed[0][0]} is stored as {packed[0][1]})",
            where=where,
            hint="train the unquantised model, in bfloat16 or float32",
        )


def _fault(trial: _Trial, config: Any, where: str) -> UserError:
    kind = type(config).__name__.removesuffix("Config")
    if trial.error:
        return trial.error
    if trial.refused:
        return UserError(
            f"the weights cannot be put into a {kind} model ({trial.refused})",
            where=where,
            hint="a part of a stacked tensor is missing, or config.json and weights are of two models",
        )
    if trial.missing == ["lm_head.weight"] and not trial.unknown and not trial.misshaped:
        return UserError(
            "the checkpoint holds no lm_head.weight, and its config does not tie the head to the embeddings",
            where=where,
            hint="if they are tied, set tie_word_embeddings: true in its config.json",
        )
    said = []
    if trial.missing:
        said.append(f"lacks {len(trial.missing)} tensors ({_some(trial.missing)})")
    if trial.misshaped:
        name, stored, own = trial.misshaped[0]
        said.append(
            f"has {len(trial.misshaped)} tensors of another shape ({name} is {list(stored)}, and config.json makes it "
            f"{list(own)})"
        )
    if trial.unknown:
        said.append(f"holds {len(trial.unknown)} tensors that the model does not have ({_some(trial.unknown)})")
    return UserError(
        f"the checkpoint does not fit its config.json ({kind}): it {', '.join(said)}",
        where=where,
        hint="config.json and weights are of two models, or the checkpoint is not whole; save or download it again",
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
