"""Kinds of model that the installed transformers knows, read from its sources: importing it would load torch."""

import ast
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ringlite_cli.errors import near

DECODERS = "give a decoder for text (llama, qwen2, qwen3, qwen3_moe, gemma3_text, mistral, phi3, ernie4_5_moe ...)"
OTHER_HEADS = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForRewardModel",
    "EncoderModel",
)
"""Ends of class names whose weights are no language model's."""


def kind_fault(config: Mapping[str, Any], *, trust_remote_code: bool = False) -> str:
    """Return why transformers has no causal language model of a config's kind; "" where it may have one.

    What follows from a config class's defaults is left to who loads it, as is a config without a `model_type`.
    """
    kind, own_code = config.get("model_type"), config.get("auto_map") or {}
    known, causal = config_classes(), causal_classes()
    if not isinstance(kind, str) or not isinstance(own_code, Mapping) or not known or not causal:
        return ""
    if kind not in known:
        if "AutoConfig" not in own_code:
            return f"transformers has no architecture {kind!r}; {near(kind, causal, DECODERS)}"
        has_trust = "" if trust_remote_code else "read it, and set model.trust_remote_code: true"
        return has_trust and f"{kind} is an architecture with code of its own; {has_trust}"
    named = next((n for n in config.get("architectures") or () if isinstance(n, str)), "")
    if named.endswith(OTHER_HEADS) or config.get("is_encoder_decoder") is True:
        return f"{named or kind} is not a causal language model, which writes text from left to right; {DECODERS}"
    has_model = any(known.get(each) == known[kind] for each in causal)
    if has_model or "AutoModelForCausalLM" in own_code:
        return ""
    if kind in _pairs("modeling_auto.py", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES"):
        return f"{kind} is not a causal language model, which writes text from left to right; {DECODERS}"
    return f"transformers has no causal language model of the kind {kind}; {DECODERS}"


@cache
def config_classes() -> Mapping[str, str]:
    """Return model_type -> class of its config, of all that transformers has; {} where it cannot be told."""
    return {
        **_pairs("auto_mappings.py", "CONFIG_MAPPING_NAMES"),
        **_pairs("configuration_auto.py", "CONFIG_MAPPING_NAMES"),
    }


@cache
def causal_classes() -> Mapping[str, str]:
    """Return model_type -> class of its causal language model; {} where it cannot be told."""
    return _pairs("modeling_auto.py", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")


def _pairs(file: str, name: str) -> dict[str, str]:
    """Return the pairs of texts that a file of transformers' auto classes puts into a mapping."""
    spec = importlib.util.find_spec("transformers")
    places = spec.submodule_search_locations if spec else None
    try:
        tree = ast.parse((Path((places or [""])[0]) / "models" / "auto" / file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return {}
    found: dict[str, str] = {}
    for statement in tree.body:
        if _fills(statement, name):
            for node in ast.walk(statement):
                found |= _texts(node)
    return found


def _fills(statement: ast.stmt, name: str) -> bool:
    """Return whether a statement is `name = ...` or `name.update(...)`."""
    if isinstance(statement, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in statement.targets)
    return isinstance(statement, ast.Expr) and ast.unparse(statement).startswith(f"{name}.update(")


def _texts(node: ast.AST) -> dict[str, str]:
    pairs = [node.elts] if isinstance(node, ast.Tuple) and len(node.elts) == 2 else []
    pairs += [[k, v] for k, v in zip(node.keys, node.values, strict=True) if k] if isinstance(node, ast.Dict) else []
    values = [[each.value for each in pair if isinstance(each, ast.Constant)] for pair in pairs]
    texts = [[value for value in pair if isinstance(value, str)] for pair in values]
    return {pair[0]: pair[1] for pair in texts if len(pair) == 2}
