"""Mode carry beside mode wait, through ringlite's trainer: one engine, one model, responses of long-tailed lengths.

usage: python benchmarks/rollout_carry.py [--in-flight 64 128] [--rounds 6] [--wait-rounds 3] [--longest 8192] [--quick]

Lengths are forced: lognormal, median --longest / 8, sigma 0.9, cut at --longest. A step of `wait` draws --in-flight
responses and waits for all; a step of `carry` has as many under way all the time, and ends when complete groups hold
the same budget, the mean total of a `wait` step. Both train through run_rl: colocated vLLM with log-probabilities,
weight syncs, packed rows, AdamW; rewards are made up. The model has 0.6B random weights of Qwen3's shape. Of `carry`
the rounds from the 4th on count, for contexts are short at first; of `wait`, which has no such start, those from the
2nd on.

Prints per number in flight: trained tokens/s of the rollout phase and of the whole step, the variation of step times,
and what keeping the carried state takes; as its last lines `ratio N: ROLLOUT STEP`, carry over wait.

--quick: a small model and short responses, for a CPU, in under 4 minutes.
"""

import argparse
import gc
import json
import math
import os
import random
import statistics
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRL_EXPERIMENTAL_SILENCE="1")

ResultRow = dict[str, Any]
GROUP, SIGMA = 8, 0.9
MEDIAN = 1 / 8
"""The median length of responses, as a share of the longest."""


def main() -> None:
    options = _options()
    import torch

    from ringlite_cli.engine import check_vllm, prepare_environment

    check_vllm("benchmarks/rollout_carry.py", instead="measure nothing")
    prepare_environment(cuda=torch.cuda.is_available())
    force_lengths(options.longest)
    engine = OneEngine(max(options.in_flight))
    results: dict[int, dict[str, list[ResultRow]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        model = _model(Path(scratch) / "model", options)
        for in_flight in options.in_flight:
            results[in_flight] = {
                mode: _measured(mode, model, Path(scratch) / f"{mode}-{in_flight}", in_flight, options, engine)
                for mode in ("wait", "carry")
            }
            _tell(in_flight, results[in_flight])
    for in_flight, found in results.items():
        rollout, step = (_rate(found["carry"], name) / _rate(found["wait"], name) for name in ("rollout", "step"))
        print(f"ratio {in_flight}: {rollout:.2f} {step:.2f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--rounds", type=int, default=6, help="steps of carry; those from the 4th on count")
    parser.add_argument("--wait-rounds", type=int, default=3, help="steps of wait; those from the 2nd on count")
    parser.add_argument("--longest", type=int, default=8192)
    parser.add_argument("--memory", type=float, default=0.55, help="share of the GPU's memory that vLLM takes")
    parser.add_argument("--out", help="a file for all rows, as JSON")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.in_flight, options.longest, options.rounds, options.wait_rounds = [32], 256, 9, 6
    return options


def length(group: int, place: int, longest: int) -> int:
    """Return the forced length of a response: the same whenever it is asked for."""
    drawn = random.Random(f"length-{group}-{place}").lognormvariate(math.log(longest * MEDIAN), SIGMA)
    return min(longest, max(8, int(drawn)))


def mean_length(longest: int) -> float:
    """Return the mean of forced lengths."""
    return statistics.fmean(length(group, 0, longest) for group in range(20_000))


def force_lengths(longest: int, first: int = 0) -> None:
    """Let every request of the engine end at its own length, and at no end token. first: number of the first one."""
    from ringlite_cli.train.engine import checked_engine, vllm_stream, watched
    from ringlite_cli.train.engine.stream import Ask

    plain, begun = checked_engine.run_requests, [first]

    def run_requests(engine: Any, requests: Any) -> Any:
        forced = {}
        for name, (prompt, params) in requests.items():
            own = params.clone()
            own.max_tokens, own.ignore_eos = length(*divmod(begun[0] + int(name), GROUP), longest), True
            forced[name] = prompt, own
        begun[0] += len(requests)
        return plain(engine, forced)

    class Forced(vllm_stream.VllmStream):
        def ask(self, asks: Any) -> None:
            started = time.perf_counter()
            self._settings = self._settings | {"ignore_eos": True}
            for ask in asks:
                group, place, written = map(int, ask.name.split("-"))
                super().ask([Ask(ask.name, ask.ids, length(group, place, longest) - written, ask.seed)])
            KEEPING["resubmitting"] += time.perf_counter() - started if asks and asks[0].name[-2:] != "-0" else 0.0

        def stop(self) -> Any:
            started = time.perf_counter()
            found = super().stop()
            KEEPING["reading"] += time.perf_counter() - started
            return found

    checked_engine.run_requests, watched.VllmStream = run_requests, Forced  # type: ignore[assignment,misc]


KEEPING = {"reading": 0.0, "resubmitting": 0.0}
"""Seconds spent on the carried state: on reading what unfinished responses have, and on asking for them again."""


class OneEngine:
    """Let all runs of this process share the engine that the first one starts."""

    def __init__(self, max_num_seqs: int) -> None:
        from trl.generation.vllm_generation import DistributedBackend

        from ringlite_cli.train.engine import watched
        from ringlite_cli.train.rl import row_layout

        plain, outer = watched.WatchedGeneration, self
        self.engine: Any = None

        class Shared(plain):  # type: ignore[misc,valid-type]
            def end(self, *, keep: bool = False) -> None:
                """Stay for the next run."""

        def make(watch: Any, config: Any, *args: Any, **kwargs: Any) -> Any:
            if outer.engine is None:
                kwargs["max_num_seqs"] = max_num_seqs
                outer.engine = Shared(watch, _Wide(config), *args, **kwargs)
            outer.engine.model, outer.engine.accelerator = kwargs["model"], kwargs["accelerator"]
            outer.engine._dist = DistributedBackend(kwargs["accelerator"])
            return outer.engine

        watched.WatchedGeneration = make  # type: ignore[misc,assignment]
        memory = row_layout.memory_here

        def without_engine(seconds: float) -> tuple[int, int]:
            """What is free, with what the engine that is there already takes: the plan would count it twice."""
            free, total = memory(seconds)
            share = outer.engine.gpu_memory_utilization if outer.engine is not None else 0.0
            return min(total, free + int(share * total)), total

        row_layout.memory_here = without_engine

    def leave(self) -> None:
        """Let go of a run's model and optimizer."""
        import torch

        self.engine.model = self.engine.accelerator = self.engine._dist = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Wide:
    """A run's config for an engine that is as wide as the widest of all runs."""

    carries = False  # which would make it as wide as this run needs

    def __init__(self, config: Any) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


def _model(folder: Path, options: argparse.Namespace) -> Path:
    """Qwen3 with random weights and a tokenizer of words: 0.6B parameters, or two small layers for a CPU."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    large = {"vocab_size": 151_936, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28}
    large |= {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128}
    small = {"vocab_size": 2048, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
    small |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
    shape = small if options.quick else large
    config = AutoConfig.for_model(
        "qwen3", **shape, max_position_embeddings=2 * options.longest, tie_word_embeddings=True, eos_token_id=1,
        pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 1, 0
    model.save_pretrained(folder)
    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, 2000)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>", padding_side="left"
    )
    fast.chat_template = "{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}"
    fast.save_pretrained(folder)
    return folder


def _measured(
    mode: str, model: Path, out: Path, in_flight: int, options: argparse.Namespace, engine: OneEngine
) -> list[ResultRow]:
    """The rows of the steps that count."""
    from ringlite_cli.problems import Problem, Verdict
    from ringlite_cli.recipe.rl_settings import RlSettings
    from ringlite_cli.train.rl.run import ModelOptions, run_rl

    steps = options.rounds if mode == "carry" else options.wait_rounds
    prompt = 20 if options.quick else 120
    rng = random.Random(11)
    problems = [
        Problem(f"p{i}", "math", " ".join(f"w{rng.randrange(3, 2000)}" for _ in range(prompt)), answer="1")
        for i in range(in_flight * 12 // GROUP)
    ]

    def verify(pairs: Any) -> list[Verdict]:
        right = [zlib.crc32(text[:200].encode()) % 2 for _, text in pairs]
        return [Verdict("correct" if each else "wrong", float(each)) for each in right]

    longest = options.longest
    settings = RlSettings.made(
        prompts_per_step=in_flight // GROUP,
        token_budget=int(in_flight * mean_length(longest)),
        row_tokens=2 * longest,
        guard=None,
        sync_tolerance=5.0,
        rollouts={"mode": mode, "in_flight": in_flight, "max_retention": 12} if mode == "carry" else {},
        trl={
            "max_steps": steps,
            "num_generations": GROUP,
            "max_completion_length": longest,
            "learning_rate": 1e-6,
            "beta": 0.0,
            "gradient_checkpointing": not options.quick,
            "save_steps": 10_000,
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": options.memory,
            "vllm_max_model_length": longest + 2 * prompt + 16,
        },
    )
    KEEPING.update(reading=0.0, resubmitting=0.0)
    dtype = "float32" if options.quick else "bfloat16"
    rows: list[ResultRow] = []

    def seen(row: ResultRow) -> None:
        rows.append(row | {"keeping_seconds": sum(KEEPING.values())})
        KEEPING.update(reading=0.0, resubmitting=0.0)
        shown = ("rollout_seconds", "update_seconds", "step_seconds", "tokens_trained", "tokens_generated")
        shown += ("tokens_carried_out", "keeping_seconds")
        print(mode, in_flight, json.dumps({name: round(rows[-1].get(name, 0), 2) for name in shown}), flush=True)

    from ringlite_cli.train.rl.loop import Hooks

    run_rl(model, problems, verify, out, settings, model=ModelOptions(dtype, prompt_suffix={}), hooks=Hooks(seen))
    engine.leave()
    if options.out:
        with Path(options.out).open("a") as file:
            file.writelines(json.dumps({"mode": mode, "in_flight": in_flight} | row) + "\n" for row in rows)
    return rows[3:] if mode == "carry" else rows[1:]


def _rate(rows: list[ResultRow], phase: str) -> float:
    """Trained tokens per second of a phase."""
    return sum(row["tokens_trained"] for row in rows) / sum(row[f"{phase}_seconds"] for row in rows)


def _tell(in_flight: int, found: dict[str, list[ResultRow]]) -> None:
    print(f"\n{in_flight} in flight  trained tokens/s: rollout   step   step s   variation   carried state, of a step")
    for mode, rows in found.items():
        seconds = [row["step_seconds"] for row in rows]
        spread = statistics.stdev(seconds) / statistics.fmean(seconds) if len(seconds) > 1 else math.nan
        keeping = sum(row["keeping_seconds"] for row in rows) / sum(seconds)
        rates = f"{_rate(rows, 'rollout'):>25,.0f} {_rate(rows, 'step'):>7,.0f}"
        print(f"{mode:>12} {rates} {statistics.fmean(seconds):>8.2f} {spread:>10.1%} {keeping:>15.2%}", flush=True)


if __name__ == "__main__":
    main()
