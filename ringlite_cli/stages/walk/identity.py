"""What a stage's result is known by: its objective keys, the digests of what it reads, and its seed.

The same is read out of a manifest, also of one that an earlier version wrote: the engine, which such a manifest does
not tell, is taken as it is now, and a key that is newer than it has its default.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from ringlite_cli.recipe.composition import COMPOSED, COMPOSING
from ringlite_cli.recipe.graph import needed_outputs
from ringlite_cli.recipe.key_classes import TRL_LENGTH, TRL_TUNABLE, earlier_default, is_tunable
from ringlite_cli.recipe.schema import STAGE_SECTIONS, Recipe, RecipeHead, Stage
from ringlite_cli.recipe.section import Section
from ringlite_cli.recipe.trl_defaults import usual_value
from ringlite_cli.runs.files import finite
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.stages.parts.local_models import ADAPTER_FILES, MODEL_FILES

SEED = "seed"
_ORIGIN = ("path", "revision", "adapter", "package", "gguf_file", "new")
"""Keys of `model` that say where the weights come from, and nothing else."""
_ABSENT = "nothing"
_SPLIT = ("trl.per_device_train_batch_size", "trl.gradient_accumulation_steps")
"""Keys of SFT whose product is the number of samples of a step on a rank."""
_COMPOSED = tuple(f"rewards.{name}" for name in COMPOSED)
_UNRECORDED = ("engine",)
"""Parts of the head that manifests of ringlite 0.1.0 did not keep, though the recipe had them."""


@dataclass(frozen=True)
class Identity:
    """What equal results share.

    keys: dotted objective key -> value, of the section and, as `model.dtype`, of the head. inputs: name -> digest.
    """

    kind: str
    keys: Mapping[str, Any]
    inputs: Mapping[str, str]
    seed: int

    @property
    def fingerprint(self) -> str:
        """Return 16 hex digits that equal results share."""
        depends = [self.kind, self.keys, self.inputs, self.seed]
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]

    def changes_to(self, other: "Identity") -> "Changes":
        """Return what differs in another identity of the same stage."""
        every = {**self.keys, **other.keys}
        names = [name for name in every if self._value(name) != other._value(name) and not _has_keys(name, every)]
        keys = {name: (self._value(name), other._value(name)) for name in names}
        if self.seed != other.seed:
            keys[SEED] = (self.seed, other.seed)
        inputs = [name for name in {**self.inputs, **other.inputs} if self.inputs.get(name) != other.inputs.get(name)]
        return Changes(self.kind, keys, tuple(inputs))

    def _value(self, name: str) -> Any:
        return self.keys.get(name, _ABSENT)


@dataclass(frozen=True)
class Changes:
    """What differs between two identities: key -> (before, now), and inputs by name."""

    kind: str
    keys: Mapping[str, tuple[Any, Any]]
    inputs: tuple[str, ...] = ()

    @property
    def only_length(self) -> bool:
        """Return whether nothing but the number of steps differs."""
        return not self.inputs and all(_trl_field(name) in TRL_LENGTH for name in self.keys)

    @property
    def fixed(self) -> list[str]:
        """The changed keys and inputs with which a training that began without them can't go on."""
        kept = _SPLIT if self.kind == "sft" and self._has_same_batch() else ()
        fixed = [name for name in self.keys if name not in kept and not _is_tunable(self.kind, name)]
        return fixed + list(self.inputs)

    def _has_same_batch(self) -> bool:
        """Whether a step of SFT sees as many samples as before, in more or fewer parts: it then sees the same ones."""
        values = [self.keys[name] for name in _SPLIT if name in self.keys]
        defaults = [usual_value("SFTConfig", _trl_field(name)) for name in _SPLIT if name in self.keys]
        old, new = (
            prod(
                default if value[when] == _ABSENT else value[when]
                for value, default in zip(values, defaults, strict=True)
            )
            for when in (0, 1)
        )
        return bool(old == new)

    def words(self) -> str:
        """Return what changed, in a few words: `trl.beta (0 -> 0.1), curate/math`."""
        parts = [f"{name} ({_short(old)} -> {_short(new)})" for name, (old, new) in self.keys.items()]
        return _few([*parts, *self.inputs])

    def fixed_words(self) -> str:
        """Return the keys and inputs of `fixed`, in a few words."""
        return _few(self.fixed)


def identity(kind: str, section: Section, head: Mapping[str, Any], seed: int, inputs: Mapping[str, str]) -> Identity:
    """Return the identity of a stage. head: the parts of the recipe's head that its result depends on."""
    keys = dict(_flat("", section.objective()))
    for name, part in head.items():
        keys |= _flat(name, part.objective() if isinstance(part, Section) else part)
    if kind not in COMPOSING:
        keys = {key: value for key, value in keys.items() if not key.startswith(_COMPOSED)}
    told_otherwise = {key for key in keys if key.startswith("model.") and _is_told_by_files(key, section, inputs)}
    known = finite({key: value for key, value in keys.items() if key not in told_otherwise})  # as a manifest has them
    return Identity(kind, known, dict(inputs), seed)


def _is_told_by_files(key: str, section: Any, inputs: Mapping[str, str]) -> bool:
    """Whether what a key of `model` names is an input, here or of a stage above: then its name alone says nothing."""
    name = key.split(".")[1]
    if name not in _ORIGIN:
        return False
    if section.kind != "sft" or section.policy:
        return True
    return (ADAPTER_FILES if name == "adapter" else MODEL_FILES) in inputs and name != "new"


def identity_of(
    manifest: Manifest, section_now: Section, head: Mapping[str, Any], models: Mapping[str, str] | None = None
) -> Identity:
    """Return the identity of the stage that a manifest tells of.

    section_now, head: as they are now, for what the manifest lacks and for keys whose defaults have changed.
    models: digests of the models of now. Early manifests tell none: where the model has the same name, it is the same.
    """
    given = {key: value for key, value in manifest.recipe.items() if key not in RecipeHead.model_fields}
    kept = {name: _typed_head(name, manifest.recipe.get(name), part) for name, part in head.items()}
    kept = {name: _with_new_defaults(part, head[name], manifest.revision) for name, part in kept.items()}
    section = _with_new_defaults(_typed(STAGE_SECTIONS.get(manifest.kind), given), section_now, manifest.revision)
    inputs = {name: entry["digest"] for name, entry in manifest.inputs.items()}
    inputs = _of_models(models or {}, inputs, kept.get("model"), head.get("model")) | inputs
    if section is None:
        return Identity(manifest.kind, dict(_flat("", given)), inputs, manifest.seed)
    return identity(manifest.kind, section, kept, manifest.seed, needed_inputs(section, inputs, manifest.parent))


def _of_models(models: Mapping[str, str], inputs: Mapping[str, str], then: Any, now: Any) -> dict[str, str]:
    """Digests of models that a manifest does not tell of, though this version would."""
    lacking = models.keys() - inputs.keys()
    same_name = all(getattr(then, name, None) == getattr(now, name, None) for name in _ORIGIN)
    return {name: models[name] if same_name else "not recorded" for name in lacking}


def needed_inputs(section: Section, inputs: Mapping[str, str], above: Collection[str]) -> dict[str, str]:
    """Return those inputs that a section reads: sets, policies and checkpoints of the stages above, and its files."""
    made = {name for name in inputs if name.partition("/")[0] in above}
    return {name: digest for name, digest in inputs.items() if name not in made or is_needed(section, name)}


def is_needed(section: Any, name: str) -> bool:
    """Return whether a section reads an output `<stage>/<artifact>` of another stage."""
    stage, _, artifact = name.partition("/")
    return any(needed.is_met_by(stage, artifact) for needed in needed_outputs(section))


def head_of(recipe: Recipe, names: tuple[str, ...]) -> dict[str, Any]:
    """Return these parts of a recipe's head."""
    return {name: getattr(recipe, name) for name in names}


def _typed(model: type[Stage] | None, given: Mapping[str, Any]) -> Section | None:
    """A section as this version reads it, without keys that it no longer has; None for one that it can't read."""
    fields = dict(given)
    while model is not None:
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            gone = {str(each["loc"][0]) for each in error.errors() if each["type"] == "extra_forbidden"}
            if not gone & fields.keys():
                return None
            fields = {key: value for key, value in fields.items() if key not in gone}
    return None


def _typed_head(name: str, given: Any, now: Any) -> Any:
    if given is None:
        key = RecipeHead.model_fields[name]
        return now if name in _UNRECORDED or key.is_required() else key.get_default(call_default_factory=True)
    try:
        return TypeAdapter[Any](RecipeHead.model_fields[name].annotation or Any).validate_python(given)
    except ValidationError:
        return given


def _with_new_defaults(old: Any, now: Any, revision: int) -> Any:
    """An old section; where a key has the default of its time, and is not set now, it gets the default of today."""
    if not isinstance(old, Section) or type(old) is not type(now):
        return old
    updates: dict[str, Any] = {}
    for name, key in type(old).model_fields.items():
        value, today = getattr(old, name), getattr(now, name)
        earlier = earlier_default(key)
        if isinstance(value, Section):
            updates[name] = _with_new_defaults(value, today, revision)
        elif earlier and revision <= earlier[0] and value == earlier[1] and name not in now.model_fields_set:
            updates[name] = today
    return old.model_copy(update=updates)


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Dotted key -> value of nested mappings; an empty mapping is a value."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, inner)
    else:
        yield prefix, value


def _has_keys(name: str, keys: Iterable[str]) -> bool:
    """Return whether there are keys below this one: one side is then an empty mapping, and they tell of the other."""
    return any(key.startswith(f"{name}.") for key in keys)


def _trl_field(name: str) -> str:
    return name.removeprefix("trl.").partition(".")[0] if name.startswith("trl.") else ""


def _is_tunable(kind: str, name: str) -> bool:
    """Return whether an interrupted training stage can go on with another value of a dotted key."""
    if field := _trl_field(name):
        return field in TRL_TUNABLE
    first, _, rest = name.partition(".")
    if isinstance(part := RecipeHead.model_fields.get(first), FieldInfo) and rest:
        return _is_tunable_in(part.annotation, rest)
    return kind in STAGE_SECTIONS and _is_tunable_in(STAGE_SECTIONS[kind], name)


def _is_tunable_in(section: Any, name: str) -> bool:
    fields = section.model_fields if isinstance(section, type) and issubclass(section, Section) else {}
    key = fields.get(name.partition(".")[0])
    return key is not None and is_tunable(key)


def _few(parts: list[str]) -> str:
    return ", ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
