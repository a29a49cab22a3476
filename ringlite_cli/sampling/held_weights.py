"""Whether a running vLLM engine holds a model folder's weights: read back tensor by tensor, or told by its answers.

Responses that are scored as one policy's and drawn by another's weights are the worst that can happen to a run, so an
engine that has taken new weights is never believed unseen.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.models.headers import open_tensors, read_headers

TOLERANCE = 1e-3
"""Mean difference of log-probabilities that rounding may make in float32, nats per token."""
_PARTS = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
"""Tensors that engines store as one, below each other."""
_PADDED = ("embed_tokens.weight", "lm_head.weight")
"""Tensors to which engines add rows that no token has."""
_CHUNK = 1 << 24
"""Elements that are compared at a time."""
_PROMPTS, _TOKENS = 4, 48


def fault(llm: Any, folder: str, dtype: str) -> str:
    """Return what in a running engine differs from a folder's weights, or cannot be compared; '' for nothing.

    llm: vLLM's LLM with its model in this process. dtype: number format of the engine's weights. An engine on a CPU has
    packed its matrices, which cannot be read; its log-probabilities are compared with transformers' instead.
    """
    import torch

    model = llm.llm_engine.collective_rpc(lambda worker: worker.get_model())[0]
    held = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    if torch.cuda.is_available() or all(tensor.numel() for tensor in held.values()):
        return unequal_tensor(held, Path(folder), getattr(torch, dtype), dict(model.named_parameters()))
    if dtype != "float32":
        return "on a CPU weights can be checked in float32 alone"
    drift = _drift(llm, folder)
    return "" if drift <= TOLERANCE else f"log-probabilities differ by {drift:.3g} nats per token"


def unequal_tensor(held: Mapping[str, Any], folder: Path, dtype: Any, wanted: Mapping[str, Any]) -> str:
    """Return the first tensor that an engine holds otherwise than a folder does, or that cannot be found; '' for none.

    held: name in the engine -> tensor. dtype: that the folder's tensors are compared in. wanted: the tensors that have
    to have been compared in the end, by their names there; a tied one has several names.
    """
    headers = read_headers(folder)
    rows = {name: stored.shape[0] if stored.shape else 1 for name, stored in headers.items()}
    compared: dict[int, dict[int, int]] = {}
    for name, tensor in open_tensors(headers):
        place, start = _place(name, rows, held)
        found = held.get(place)
        if found is None or start is None:
            if name == "lm_head.weight" or name.endswith("rotary_emb.inv_freq"):
                continue  # of a tied head, and of early checkpoints: engines leave them out
            return f"{name} is not found in the engine"
        if not _is_equal(found, start, tensor, dtype):
            return f"{name} differs from the engine's {place}"
        compared.setdefault(found.data_ptr(), {})[start] = rows[name]
    for name, tensor in wanted.items():
        known, whole = sum(compared.get(tensor.data_ptr(), {}).values()), len(tensor) if tensor.dim() else 1
        if known != whole and not (known and name.endswith(_PADDED)):
            return f"the engine's {name} is not in the folder"
    return ""


def _place(name: str, rows: Mapping[str, int], held: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return the name in the engine of a folder's tensor, and the row at which it starts there; None: not known."""
    if name in held:
        return name, 0
    for whole, parts in _PARTS.items():
        for number, part in enumerate(parts):
            if f".{part}." in name:
                before = [rows.get(name.replace(f".{part}.", f".{each}.")) for each in parts[:number]]
                start = None if None in before else sum(size or 0 for size in before)
                return name.replace(f".{part}.", f".{whole}."), start
    return name, None


def _is_equal(found: Any, start: int, tensor: Any, dtype: Any) -> bool:
    """Whether rows of an engine's tensor are a folder's; of an embedding the engine may have more than are compared."""
    import torch

    if found.dim() != tensor.dim() or found.shape[1:] != tensor.shape[1:]:
        return False
    if not tensor.dim():
        return bool(torch.equal(found.cpu(), tensor.to(dtype).to(found.dtype)))
    if start + len(tensor) > len(found):
        return False
    step = max(1, _CHUNK // max(1, tensor[0].numel()))
    for first in range(0, len(tensor), step):
        part = tensor[first : first + step].to(found.device).to(dtype).to(found.dtype)
        if not torch.equal(found[start + first : start + first + len(part)], part):
            return False
    return True


def _drift(llm: Any, folder: str) -> float:
    """Return the mean |difference| of the engine's log-probabilities and transformers', nats per token."""
    import torch
    from vllm import SamplingParams

    from ringlite_cli.sampling.load import load_model

    model = load_model(folder, dtype="float32", device="cpu")
    numbers = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.get_text_config().vocab_size, (_PROMPTS, _TOKENS), generator=numbers)
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[:, :-1].float()
    ours = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
    outputs = llm.generate([{"prompt_token_ids": row} for row in ids.tolist()], params, use_tqdm=False)
    theirs = [
        [entry[token].logprob for token, entry in zip(row[1:], output.prompt_logprobs[1:], strict=True)]
        for row, output in zip(ids.tolist(), outputs, strict=True)
    ]
    return float((ours - torch.tensor(theirs)).abs().mean())
