"""A checkpoint trained here loads in vLLM's own bailing_moe, and draws the same greedy tokens."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from bailing import KINDS, expected, golden_model, with_tokenizer

ENGINE = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
DRAW = """
import json, sys
from ringlite_cli.models import register
register()
from vllm import LLM, SamplingParams
llm = LLM(sys.argv[1], dtype="float32", enforce_eager=True, max_model_len=256)
greedy = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True, detokenize=False)
prompts = [{"prompt_token_ids": ids} for ids in json.loads(sys.argv[2])]
print("TOKENS", json.dumps([list(out.outputs[0].token_ids) for out in llm.generate(prompts, greedy)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_of_a_trained_checkpoint(kind, tmp_path):
    golden, model = expected(kind), golden_model(kind).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        model(input_ids=golden["input_ids"][:1], labels=golden["input_ids"][:1]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with_tokenizer(tmp_path)
    model.eval().save_pretrained(tmp_path)
    prompts = [golden["input_ids"][0].tolist(), golden["input_ids"][1, 5:].tolist()]
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    ours = [model.generate(torch.tensor([ids]), **options)[0, len(ids) :].tolist() for ids in prompts]

    done = subprocess.run(
        [sys.executable, "-c", DRAW, str(tmp_path), json.dumps(prompts)],
        capture_output=True,
        text=True,
        env=os.environ | ENGINE,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("TOKENS ")]
    assert said, done.stderr[-3000:]
    assert json.loads(said[0].removeprefix("TOKENS ")) == ours
