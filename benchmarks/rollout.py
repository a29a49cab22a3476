"""Rollout speed of one policy on the same prompts: raw vLLM, ringlite's sampler and RL's engine, TRL's generation.

usage: python benchmarks/rollout.py [--model FOLDER] [--prompts 256] [--samples 4] [--tokens 256] [--rounds 5]
                                    [--without-trl] [--quick]
       python benchmarks/rollout.py --reading [--million 1]

Each engine gets the same prompts, samples a prompt, temperature and length limit; ends are ignored, so all make the
same number of tokens. Three pairs share one engine: the sampler and raw vLLM, which both give text; RL's engine and raw
vLLM that give token ids alone; and those two with a log-probability a token, which RL's engine reads from flat lists,
and which raw vLLM leaves in its dicts unread. A first round warms up and does not count; then all six alternate, the
order of a pair changing from round to round, and medians are compared. TRL's generation runs in its own engine
afterwards. Prints a table of tokens/s, a line for each pair, and as its last line `ratio R`: the sampler over raw vLLM.

--reading: no engine; CPU seconds and memory that a million tokens' log-probabilities cost the host, in vLLM's dicts and
in its flat lists, each in a process of its own: made by vLLM's output processor, then read as TRL and ringlite do.
--quick: a small model of random weights and few short responses, for a CPU, in under 4 minutes.
"""

import argparse
import gc
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ringlite_cli.engine import check_vllm, prepare_environment


def main() -> None:
    options = _options()
    if options.reading:
        _compare_reading(options.million)
        return
    import torch

    check_vllm("benchmarks/rollout.py", instead="measure nothing")
    prepare_environment(cuda=torch.cuda.is_available())
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(options.model) if options.model else small_model(Path(scratch) / "model")
        conversations = [[{"role": "user", "content": f"What is {7 * i} + {i}?"}] for i in range(options.prompts)]
        pairs = _pairs(model, conversations, options)
        print(f"\n{options.prompts} prompts x {options.samples} responses x {options.tokens} tokens, {model.name}")
        for name, (raw, ours) in pairs.items():
            print(f"{name:<24} raw vLLM {raw:>10,.0f}, ringlite {ours:>10,.0f} tokens/s: {ours / raw:.3f}", flush=True)
        if not options.without_trl:
            gc.collect()  # the first engine's memory is free once nothing names it
            print(f"{'TRL in the trainer':<24} {_trl(model, conversations, options, Path(scratch)):,.0f} tokens/s")
    raw, ours = pairs["text"]
    print(f"ratio {ours / raw:.3f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model folder; default: a small one with random weights")
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-trl", action="store_true", help="leave TRL's generation out")
    parser.add_argument("--reading", action="store_true", help="measure the log-probabilities' reading alone")
    parser.add_argument("--million", type=float, default=1, help="millions of tokens that --reading makes")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.prompts, options.samples, options.tokens, options.rounds = 16, 4, 64, 5
    return options


def _pairs(model: Path, conversations: list[Any], options: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Median tokens/s of raw vLLM and of ringlite, {what they give: (raw, ours)}, in rounds on one engine."""
    from vllm import SamplingParams

    from ringlite_cli.recipe.engine import Engine
    from ringlite_cli.samples import Request, SamplingSettings
    from ringlite_cli.sampling.vllm_sampler import VllmSampler
    from ringlite_cli.train.engine.checked_engine import CheckedEngine
    from ringlite_cli.train.engine.log_probs import sampled

    settings = SamplingSettings(options.tokens, temperature=1.0)
    sampler = VllmSampler(model, settings=settings, engine=Engine(name="vllm", max_model_length=1024))
    sampler.end_ids = []
    requests = [Request(str(i), messages, options.samples) for i, messages in enumerate(conversations)]
    prompts = [{"prompt_token_ids": sampler.prompt_ids(request)} for request in requests]
    engine = CheckedEngine(sampler.llm, lambda _: None, lambda *_: None, lambda count: list(range(count)))
    asked = {"temperature": 1.0, "max_tokens": options.tokens, "ignore_eos": True}
    _ignore_ends(sampler)

    def raw(**more: Any) -> int:
        params = SamplingParams(n=options.samples, **asked, **more)
        outputs = sampler.llm.generate(prompts, params, use_tqdm=False)
        return sum(len(one.token_ids) for output in outputs for one in output.outputs)

    def text() -> int:
        return sum(len(sample.token_ids) for group in sampler.sample(requests) for sample in group)

    def rl(**more: Any) -> int:
        params = SamplingParams(**asked, **more)
        outputs = engine.generate([prompt for prompt in prompts for _ in range(options.samples)], params)
        responses = [output.outputs[0] for output in outputs]
        read = [sampled(one.logprobs, one.token_ids) for one in responses]
        return sum(len(one.token_ids) for one, values in zip(responses, read, strict=True) if more or values is None)

    rates = _alternate(
        {
            "text": (raw, text),
            "token ids": (lambda: raw(detokenize=False), rl),
            "ids, log-probabilities": (lambda: raw(detokenize=False, logprobs=0), lambda: rl(logprobs=0)),
        },
        options.rounds,
    )
    sampler.close()
    return rates


def _alternate(
    pairs: dict[str, tuple[Callable[[], int], Callable[[], int]]], rounds: int
) -> dict[str, tuple[float, float]]:
    """Median tokens/s of each of a pair over rounds in turn, after one that warms up."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
    for number in range(rounds + 1):
        for name, (raw, ours) in pairs.items():
            if number % 2:
                found = _rate(raw), _rate(ours)
            else:
                found = (_rate(ours), _rate(raw))[::-1]
            if number:
                rates[name].append(found)
                print(f"round {number}, {name}: {found[0]:,.0f} and {found[1]:,.0f} tokens/s", flush=True)
    return {
        name: (statistics.median(raw for raw, _ in found), statistics.median(ours for _, ours in found))
        for name, found in rates.items()
    }


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


def _compare_reading(million: float) -> None:
    """Print what a million tokens' log-probabilities cost on the host in dicts and in flat lists."""
    for name, flat in (("dicts", False), ("flat lists", True)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            made, read, held = process.submit(_reading, flat, int(million * 1e6)).result()
        print(
            f"{name:<11} a million tokens: made in {made / million:.2f} CPU s, read in {read / million:.2f} CPU s, "
            f"{held / million:.2f} GB",
            flush=True,
        )


def _reading(flat: bool, tokens: int, responses: int = 1000) -> tuple[float, float, float]:
    """CPU seconds to make and to read log-probabilities, and gigabytes that both took at most.

    They are made as an engine's steps make them, a token of every response at a time, and read as those of a rollout.
    """
    prepare_environment(cuda=False)
    import numpy as np
    from trl.generation.vllm_generation import extract_logprobs
    from vllm import SamplingParams
    from vllm.v1.engine.logprobs import LogprobsProcessor
    from vllm.v1.outputs import LogprobsLists

    from ringlite_cli.train.engine.log_probs import extract

    params = SamplingParams(logprobs=0, flat_logprobs=flat)
    request: Any = SimpleNamespace(sampling_params=params)
    under_way = [LogprobsProcessor.from_new_request(None, request) for _ in range(responses)]
    drawn = np.random.default_rng(0)
    held, made = _peak(), 0.0
    for _ in range(tokens // responses):
        ids = drawn.integers(0, 150_000, (responses, 1), dtype=np.int32)
        values, ranks = drawn.standard_normal((responses, 1), dtype=np.float32), np.ones((responses, 1), np.int32)
        started = time.process_time()
        for place, processor in enumerate(under_way):
            one = slice(place, place + 1)
            processor._update_sample_logprobs(LogprobsLists(ids[one], values[one], ranks[place], None))
        made += time.process_time() - started
    outputs: list[Any] = [SimpleNamespace(outputs=[SimpleNamespace(logprobs=each.logprobs)]) for each in under_way]
    started = time.process_time()
    log_probs, _ = extract(extract_logprobs, outputs) if flat else extract_logprobs(outputs)
    kept = [[entry[0] for entry in response] for response in log_probs]  # as TRL's trainer goes on
    read = time.process_time() - started
    assert sum(map(len, kept)) == tokens // responses * responses
    return made, read, _peak() - held


def _peak() -> float:
    """Gigabytes that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


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
