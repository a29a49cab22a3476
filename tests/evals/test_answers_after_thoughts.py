"""eval and select of a policy whose chat template opens the thought: a response cut before it closes earns nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import trl
from policies import write_tiny_policy
from transformers import AutoTokenizer

from ringlite_cli.evals.evaluate import evaluate, score
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.samples import SamplingSettings
from ringlite_cli.sampling.transformers_sampler import TransformersSampler

TEMPLATE = Path(trl.__file__).parent / "chat_templates" / "deepseek_r1_distill.jinja"
PROBLEM = Problem("q", "math", "2 + 3?", "5")


class Boxing(TransformersSampler):
    """A real sampler whose every token is decoded to a boxed 5: a policy that answers before it has thought."""

    def _sample_batch(self, batch, requests):
        return [replace(sample, text="Well, \\boxed{5}") for sample in super()._sample_batch(batch, requests)]


@pytest.mark.parametrize(("opens", "reward"), [(False, 1.0), (True, 0.0)])
def test_the_verifier_of_an_evaluation_knows_what_the_prompt_opened(tmp_path, opens, reward):
    policy = write_tiny_policy(tmp_path / "policy")
    if opens:
        tokenizer = AutoTokenizer.from_pretrained(policy)
        tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
        tokenizer.save_pretrained(policy)

    def load(path: Path | str, settings: SamplingSettings) -> Boxing:
        return Boxing(path, settings=settings, device="cpu")

    with Verifiers(VerifierSettings(workers=1)) as verify:
        scores = evaluate(
            {"p": policy},
            {"t": [PROBLEM]},
            load,
            verify,
            tmp_path,
            EvalSettings(num_generations=2, max_completion_length=4),
            prompt_suffix={},
        )
    rows = read_jsonl(tmp_path / "responses.jsonl")
    assert {row["thought_opened"] for row in rows} == {"<think>" if opens else ""}
    assert [row["reward"] for row in rows] == [reward, reward]
    assert scores["p"]["t"]["avg@k"] == reward


def test_a_vote_is_what_stands_after_the_thought():
    def row(response, reward, opened=""):
        return {
            "response": response, "reward": reward, "tokens": 1, "truncated": False, "domain": "math",
            "verdict": "x", "thought_opened": opened,
        }  # fmt: skip

    group = [
        row("\\boxed{6}</think>\\boxed{5}", 1.0, "<think>"),
        row("<think>\\boxed{6}", 0.0),
        row("\\boxed{6}", 0.0, "<think>"),
        row("<think>\\boxed{6}</think>\\boxed{5}", 1.0),
    ]
    assert score([group])["maj@k"] == 1.0
