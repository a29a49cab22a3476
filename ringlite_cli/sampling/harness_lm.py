"""A policy as lm-evaluation-harness takes it: the harness's own model classes around our loading."""

from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.sampling.load import load_model, load_tokenizer


def open_harness_lm(path: Path | str, engine: Engine, name: str, dtype: str, *, seed: int = 0) -> Any:
    """An `lm_eval.api.model.LM` of a model folder or hub id.

    name: "transformers" or "vllm", the engine with `auto` decided. Log-likelihoods need the policy itself, so a
    server is a UserError.
    """
    if name == "server":
        raise UserError(
            "lm-evaluation-harness needs the policy itself, not a server",
            where="engine.name",
            hint="use transformers or vllm for its tasks",
        )
    if name == "vllm":
        from lm_eval.models.vllm_causallms import VLLM

        return VLLM(
            pretrained=str(path),
            dtype=dtype,
            tensor_parallel_size=engine.tensor_parallel_size,
            gpu_memory_utilization=engine.gpu_memory_utilization,
            max_model_len=engine.max_model_length,
            enforce_eager=engine.enforce_eager,
            batch_size="auto",
            seed=seed,
        )
    from lm_eval.models.huggingface import HFLM

    model = load_model(path, dtype=dtype)
    batch = "auto" if model.device.type == "cuda" else 8
    return HFLM(pretrained=model, tokenizer=load_tokenizer(path), batch_size=batch)
