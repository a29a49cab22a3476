"""A checkpoint trained here loads in vLLM's own models of Ling-lite and Ling 2.0, and draws the same greedy tokens."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from bailing import KINDS, expected, golden_model, stored, with_tokenizer
from bailing_v2 import base_like
from bailing_v2 import expected as expected_v2
from transformers import AutoModelForCausalLM

from ringlite_cli.models.extra_layers import engine_folder

ENGINE = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
DRAW = """
import gc, json, sys
from ringlite_cli.models import register
register()
from vllm import LLM, SamplingParams
from vllm.distributed.parallel_state import cleanup_dist_env_and_memory
greedy = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True, detokenize=False)
for folder, prompts in json.loads(sys.argv[1]).items():
    llm = LLM(folder, dtype="float32", enforce_eager=True, max_model_len=256)
    drawn = llm.generate([{"prompt_token_ids": ids} for ids in prompts], greedy)
    print("TOKENS", json.dumps([list(out.outputs[0].token_ids) for out in drawn]), flush=True)
    core = llm.llm_engine.engine_core
    del llm
    core.shutdown()
    del core
    gc.collect()
    cleanup_dist_env_and_memory()
"""


Drawn = tuple[list[list[int]], list[list[int]]]
"""Prompts, and the greedy tokens that transformers draws for them."""


def trained(model, ids: torch.Tensor, folder: Path, pad: int) -> Drawn:
    """Write a checkpoint after three steps on `ids`, two rows of which the second is padded on the left by 5."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        model(input_ids=ids[:1], labels=ids[:1]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with_tokenizer(folder)
    model.eval().save_pretrained(folder)
    prompts = [ids[0].tolist(), ids[1, 5:].tolist()]
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": pad}
    return prompts, [model.generate(torch.tensor([x]), **options)[0, len(x) :].tolist() for x in prompts]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_greedy_tokens_of_trained_checkpoints(tmp_path):
    """One process draws for all kinds: to start vLLM takes longer than all else here.

    One is of Ling 2.0, with a layer for further tokens in its folder, which the engine must not see.
    """
    made = {k: trained(golden_model(k), expected(k)["input_ids"], tmp_path / k, 0) for k in KINDS}
    newer = AutoModelForCausalLM.from_pretrained(base_like(tmp_path / "base"), dtype=torch.float32)
    made["v2"] = trained(newer, expected_v2("mini_like")["input_ids"], tmp_path / "v2", 159)
    assert any("layers.3." in name for name in stored(tmp_path / "v2"))
    with engine_folder(tmp_path / "v2") as view:
        folders = [str(tmp_path / kind) for kind in KINDS] + [view]
        asked = {folder: prompts for folder, (prompts, _) in zip(folders, made.values(), strict=True)}
        done = subprocess.run(
            [sys.executable, "-c", DRAW, json.dumps(asked)],
            capture_output=True,
            text=True,
            env=os.environ | ENGINE,
            check=False,
        )
    said = [line for line in done.stdout.splitlines() if line.startswith("TOKENS ")]
    assert len(said) == len(made), done.stderr[-3000:]
    for line, (kind, (_, ours)) in zip(said, made.items(), strict=True):
        assert json.loads(line.removeprefix("TOKENS ")) == ours, kind
