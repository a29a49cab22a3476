"""How much of the raw sampler's speed is left in an evaluation that verifies, scores and stores every response.

    RINGLITE_DATA=FOLDER python benchmarks/sampler.py [--policy HF_FOLDER] [--limit N] [--repeats 2]

Draws the same responses to GSM8K's 1,319 problems twice per repeat, in turn: by the sampler alone, and by `evaluate`
with the verifiers. Without --policy the model is the demo recipe's, untrained, so that responses run to the limit; give
a trained demo policy for its real lengths. Prints tokens per second of both and, last, `ratio R`: evaluation over raw.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

from ringlite_cli.evals.evaluate import DEFAULT_SUFFIX, evaluate
from ringlite_cli.evals.tasks import load_task
from ringlite_cli.problems import Problem, chat_messages
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.sampling.transformers_sampler import TransformersSampler


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", type=Path, help="a Hugging Face folder; default: the demo's model, untrained")
    parser.add_argument("--limit", type=int, default=None, help="problems; default: all 1,319")
    parser.add_argument("--max-new-tokens", type=int, default=110, help="as the demo evaluates")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    problems = load_task("gsm8k", limit=options.limit)
    settings = SamplingSettings(options.max_completion_length, temperature=1.0, top_p=0.95, seed=17)
    with tempfile.TemporaryDirectory() as scratch, Verifiers(VerifierSettings()) as verify:
        policy = options.policy or untrained(Path(scratch), problems)
        raw, whole = [], []
        for repeat in range(options.repeats):
            raw.append(raw_speed(policy, problems, settings))
            whole.append(eval_speed(policy, problems, settings, verify, Path(scratch) / f"eval-{repeat}"))
            print(f"repeat {repeat + 1}: sampler {raw[-1]:,.0f}, evaluation {whole[-1]:,.0f} tokens/s", flush=True)
    print(f"ratio {statistics.median(whole) / statistics.median(raw):.3f}")


def untrained(folder: Path, problems: list[Problem]) -> Path:
    """The demo recipe's model with its initial weights, and a tokenizer trained on the problems."""
    from ringlite_cli.train.base_model import prepare_model

    recipe = load_recipe("demo")
    traced = [dataclasses.replace(p, trace=p.prompt) for p in problems]
    return prepare_model(recipe.model, traced, folder / "policy", 17, prompt_suffix=DEFAULT_SUFFIX)


def raw_speed(policy: Path, problems: list[Problem], settings: SamplingSettings) -> float:
    """Tokens per second of the sampler alone, its loading left out."""
    sampler = TransformersSampler(policy, settings=settings)
    requests = [Request(f"gsm8k/{p.id}", chat_messages(p, DEFAULT_SUFFIX), 1) for p in problems]
    started = time.monotonic()
    groups = sampler.sample(requests)
    seconds = time.monotonic() - started
    sampler.close()
    return sum(len(s.token_ids) for group in groups for s in group) / seconds


def eval_speed(
    policy: Path, problems: list[Problem], settings: SamplingSettings, verify: Verifiers, out: Path
) -> float:
    """Tokens per second of a whole evaluation, the model's loading left out."""
    loading = 0.0

    def load(path: Path | str, wanted: SamplingSettings) -> TransformersSampler:
        nonlocal loading
        started = time.monotonic()
        sampler = TransformersSampler(path, settings=wanted)
        loading = time.monotonic() - started
        return sampler

    started = time.monotonic()
    scores = evaluate(
        {"policy": policy},
        {"gsm8k": problems},
        load,
        verify,
        out,
        EvalSettings(
            samples=1,
            max_new_tokens=settings.max_completion_length,
            temperature=settings.temperature,
            top_p=settings.top_p,
        ),
        seed=settings.seed,
    )
    return float(scores["policy"]["gsm8k"]["tokens"] / (time.monotonic() - started - loading))


if __name__ == "__main__":
    main()
