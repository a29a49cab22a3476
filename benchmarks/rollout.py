"""Rollout speed of one policy on the same prompts: raw vLLM, ringlite's sampler, and TRL's generation in the trainer.

usage: python benchmarks/rollout.py [--model FOLDER] [--prompts 256] [--samples 4] [--tokens 256] [--rounds 3] [--quick]

Each engine gets the same prompts, samples a prompt, temperature and length limit; ends are ignored, so all make the
same number of tokens. A first round warms up and does not count; then rounds alternate between raw vLLM and the
sampler, which share one engine, and the medians are compared. TRL's generation runs in its own engine afterwards.
Prints a table of tokens/s, and as its last line `ratio R`: the sampler over raw vLLM.

--quick: a small model of random weights and few short responses, for a CPU, in under 4 minutes.
"""

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ringlite_cli.engine import check_vllm, prepare_environment


def main() -> None:
    options = _options()
    import torch

    check_vllm("benchmarks/rollout.py", instead="measure nothing")
    prepare_environment(cuda=torch.cuda.is_available())
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(options.model) if options.model else small_model(Path(scratch) / "model")
        conversations = [[{"role": "user", "content": f"What is {7 * i} + {i}?"}] for i in range(options.prompts)]
        rates = _sampler_and_raw(model, conversations, options)
        gc.collect()  # the first engine's memory is free once nothing names it
        rates["TRL in the trainer"] = _trl(model, conversations, options, Path(scratch))
    print(f"\n{options.prompts} prompts x {options.samples} responses x {options.tokens} tokens, {model.name}")
    for name, rate in rates.items():
        print(f"{name:<20} {rate:>12,.0f} tokens/s")
    print(f"ratio {rates['sampler'] / rates['raw vLLM']:.3f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model folder; default: a small one with random weights")
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.prompts, options.samples, options.tokens, options.rounds = 16, 4, 64, 5
    return options


def _sampler_and_raw(model: Path, conversations: list[Any], options: argparse.Namespace) -> dict[str, float]:
    """Median tokens/s of both, in alternating rounds on one engine."""
    from vllm import SamplingParams

    from ringlite_cli.recipe.engine import Engine
    from ringlite_cli.samples import Request, SamplingSettings
    from ringlite_cli.sampling.vllm_sampler import VllmSampler

    settings = SamplingSettings(options.tokens, temperature=1.0)
    sampler = VllmSampler(model, settings=settings, engine=Engine(name="vllm", max_model_length=1024))
    sampler.end_ids = []
    requests = [Request(str(i), messages, options.samples) for i, messages in enumerate(conversations)]
    prompts = [{"prompt_token_ids": sampler.prompt_ids(request)} for request in requests]
    params = SamplingParams(n=options.samples, temperature=1.0, max_tokens=options.tokens, ignore_eos=True)
    _ignore_ends(sampler)

    def raw() -> int:
        outputs = sampler.llm.generate(prompts, params, use_tqdm=False)
        return sum(len(one.token_ids) for output in outputs for one in output.outputs)

    def ours() -> int:
        return sum(len(sample.token_ids) for group in sampler.sample(requests) for sample in group)

    _rate(raw), _rate(ours)
    rounds = [(_rate(raw), _rate(ours)) for _ in range(options.rounds)]
    sampler.close()
    rates = {"raw vLLM": statistics.median(r for r, _ in rounds), "sampler": statistics.median(r for _, r in rounds)}
    print(", ".join(f"{name} {rate:,.0f} tokens/s" for name, rate in rates.items()), flush=True)
    return rates


def _ignore_ends(sampler: Any) -> None:
    """The sampler's own requests, going on past an end token."""
    plain = sampler._params

    def params(*args: Any) -> Any:
        made = plain(*args)
        made.ignore_eos = True
        return made

    sampler._params = params


def _trl(model: Path, conversations: list[Any], options: argparse.Namespace, scratch: Path) -> float:
    """Median tokens/s of GRPOTrainer's generation, rewards and updates left out, with ringlite's watched engine."""
    import torch
    from datasets import Dataset
    from trl import GRPOConfig

    from ringlite_cli.train.engine.start import Watch, end_generation, generation_for

    rows = options.prompts * options.samples
    args = GRPOConfig(
        output_dir=str(scratch / "trl"),
        per_device_train_batch_size=rows,
        num_generations=options.samples,
        max_completion_length=options.tokens,
        use_vllm=True,
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=0.4,
        vllm_max_model_length=1024,
        generation_kwargs={"ignore_eos": True},
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        report_to="none",
        model_init_kwargs={"dtype": "bfloat16" if torch.cuda.is_available() else "float32"},
    )
    from trl import GRPOTrainer

    with generation_for(args, Watch(sync_tolerance=0.5)):
        trainer = GRPOTrainer(
            str(model),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=args,
            train_dataset=Dataset.from_list([{"prompt": messages} for messages in conversations]),
        )
    prompts = [
        trainer.processing_class.apply_chat_template(m, add_generation_prompt=True, tokenize=True, return_dict=False)
        for m in conversations
        for _ in range(options.samples)
    ]

    def generate() -> int:
        completions = trainer._generate_single_turn(prompts, None, {}, options.samples)[0]
        return sum(map(len, completions))

    _rate(generate)
    rates = [_rate(generate) for _ in range(options.rounds)]
    end_generation(trainer)
    return statistics.median(rates)


def _rate(generate: Callable[[], int]) -> float:
    started = time.perf_counter()
    tokens = generate()
    return tokens / (time.perf_counter() - started)


def small_model(folder: Path) -> Path:
    """A Llama of 8M parameters with random weights, and a small tokenizer."""
    from ringlite_cli.problems import Problem
    from ringlite_cli.train.base_model import prepare_model

    config = {"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 8}
    config |= {"num_key_value_heads": 4, "head_dim": 32, "intermediate_size": 1024, "max_position_embeddings": 2048}
    text = Problem("p", "math", "What is 7 + 1?", answer="8", trace="7 + 1 is 8")
    return prepare_model({"new": {"vocab_size": 512, "config": config}, "dtype": "float32"}, [text], folder, seed=0)


if __name__ == "__main__":
    main()
