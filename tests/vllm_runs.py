"""Short RL runs through vLLM, for the tests of its engines."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import rl_runs
import torch

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.problems import Problem, Verdict

FAULT = fault_of(vllm_version())
with_vllm = pytest.mark.skipif(bool(FAULT), reason=f"{FAULT}; `make setup-vllm` installs it")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
PROBLEMS = [Problem(f"p{i}", "math", f"w{i} w{i + 1} w2", answer="1") for i in range(16)]


def verify(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    odd = [text.count("w3") % 2 for _, text in pairs]  # about half: groups of one reward alone teach nothing
    return [Verdict("right" if each else "wrong", float(each)) for each in odd]


def train(
    policy: Path,
    out: Path,
    *,
    steps: int = 3,
    mode: str = "colocate",
    verifier: Any = None,
    generation_kwargs: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    **own: Any,
) -> list[dict[str, Any]]:
    """Rows of a short run with a learning rate that moves every weight. more: fields of TRL."""
    trl = {
        "num_generations": 4,
        "max_completion_length": 16,
        "learning_rate": 1e-2,
        "beta": 0.0,
        "use_vllm": True,
        "vllm_mode": mode,
        "vllm_server_timeout": 600,
        "vllm_max_model_length": 128,
        "generation_kwargs": generation_kwargs,
        **(more or {}),
    }
    batch = {"prompts_per_step": 4, "steps": steps, "token_budget": 64, "row_tokens": 256}
    rl_runs.train(policy, PROBLEMS, verifier or verify, out, trl=trl, **batch, **own)
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


GREEDY_PROMPTS, GREEDY_TOKENS = [[3, 7, 1, 60], [20, 21, 22, 23, 60]], 6


def greedy_of_engine(llm: Any) -> list[list[int]]:
    """Likeliest tokens by a vLLM LLM in this process."""
    from vllm import SamplingParams

    params = SamplingParams(max_tokens=GREEDY_TOKENS, temperature=0.0, ignore_eos=True, detokenize=False)
    outputs = llm.generate([{"prompt_token_ids": ids} for ids in GREEDY_PROMPTS], params, use_tqdm=False)
    return [list(output.outputs[0].token_ids) for output in outputs]


def greedy_of_server(client: Any) -> list[list[int]]:
    """The same by a server. client: TRL's VLLMClient."""
    asked = {"model": client.model, "prompt": GREEDY_PROMPTS, "max_tokens": GREEDY_TOKENS, "temperature": 0.0}
    answer = client._post(
        f"{client.base_url}/v1/completions", json=asked | {"ignore_eos": True, "return_token_ids": True}
    )
    return [choice["token_ids"] for choice in answer["choices"]]


def greedy_of_trainer(model: Any) -> list[list[int]]:
    """The same by the trained model. All ranks have to call it: each pass gathers the model's pieces."""
    import torch

    found = []
    for prompt in GREEDY_PROMPTS:
        ids = list(prompt)
        for _ in range(GREEDY_TOKENS):
            with torch.no_grad():
                ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        found.append(ids[len(prompt) :])
    return found


def wait_for(done: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "took too long"
        time.sleep(0.1)


def session(leader: int) -> list[int]:
    """Living processes of a session, from /proc; a zombie is none."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, member_of = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(member_of) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found
