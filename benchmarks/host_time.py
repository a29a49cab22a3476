"""Host time and memory of an RL step outside generation and training: scoring, gathering, packing, logging.

    python benchmarks/host_time.py                     1,024 responses of mean 12,800 tokens on 8 ranks
    python benchmarks/host_time.py --responses 8192    a whole step of a large run: 105 million tokens
    python benchmarks/host_time.py --quick             64 short responses on 2 ranks, under a minute

Ranks are processes of this machine that talk over gloo. Responses of forced lengths, with log-probabilities, are handed
to the trainer as an engine hands them; then the functions of a real step run: TRL's padding, decoding and advantages,
the verdicts' gathering, the selection, the exchange of samples among ranks, the packed rows and rollouts.jsonl. There
is no forward pass. Printed for each function are wall and CPU seconds without those of functions inside it: on the rank
where it took longest, for ranks that share cores wait for each other; then the peak of a rank's memory, and how much of
it the step added to what torch, transformers and the responses took before.
"""

import argparse
import json
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRL_EXPERIMENTAL_SILENCE="1")

ResultRow = dict[str, Any]
VOCABULARY, EOS, GROUP = 50_000, 0, 16


class Timers:
    """Wall and CPU seconds of wrapped functions, each without those of wrapped functions that it calls."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._inner = [[0.0, 0.0]]

    def wrap(self, owner: Any, name: str, label: str) -> None:
        """Time a function that is an attribute of an object or module; nothing where it has no such one."""
        call = getattr(owner, name, None)
        if call is not None:
            setattr(owner, name, self.timed(call, label))

    def timed(self, call: Callable[..., Any], label: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter(), time.process_time()
            self._inner.append([0.0, 0.0])
            try:
                return call(*args, **kwargs)
            finally:
                inner = self._inner.pop()
                for i, spent in enumerate((time.perf_counter() - started[0], time.process_time() - started[1])):
                    self.seconds[label][i] += spent - inner[i]
                    self._inner[-1][i] += spent

        return run


def lengths(responses: int, mean: int, longest: int) -> list[int]:
    """Response lengths of one step: lognormal, cut at the longest, brought to the mean."""
    rng = random.Random(7)
    drawn = [rng.lognormvariate(0, 0.6) for _ in range(responses)]
    scale = mean * responses / sum(drawn)
    return [min(longest, max(2, int(scale * x))) for x in drawn]


def save_model(folder: Path, longest: int) -> None:
    """A model of few weights with a vocabulary of usual size, and a tokenizer whose tokens are words of four signs."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    special = {"eos_token_id": EOS, "pad_token_id": 1, "bos_token_id": None}
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen3", vocab_size=VOCABULARY, num_key_value_heads=1, head_dim=16, tie_word_embeddings=True,
        max_position_embeddings=2 * longest, **shape, **special,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    words = {"<eos>": EOS, "<pad>": 1, "<unk>": 2} | {f"{i:x}": i for i in range(3, VOCABULARY)}
    plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    tokenizer.save_pretrained(folder)


def make_trainer(options: argparse.Namespace, wanted: list[int], out: Path) -> Any:
    """The trainer of a run, whose rollout hands over this rank's responses."""
    import numpy
    from datasets import Dataset
    from transformers import AutoTokenizer

    from ringlite_cli.problems import Problem, Verdict
    from ringlite_cli.runs.rollouts import RolloutWriter
    from ringlite_cli.train.rl.config import C3POConfig
    from ringlite_cli.train.rl.reward import VerifiedReward
    from ringlite_cli.train.rl.trainer import C3POTrainer

    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    size = len(wanted) // world
    draw = numpy.random.default_rng(rank)
    mine = wanted[rank * size : (rank + 1) * size]
    ids = [[*draw.integers(3, VOCABULARY, n - 1).tolist(), EOS] for n in mine]
    log_probs = [draw.uniform(-3, 0, n).tolist() for n in mine]

    def rollout(prompts: list[Any], trainer: Any) -> ResultRow:
        prompt_ids = trainer._tokenize_prompts(prompts)[0]
        return {"prompt_ids": prompt_ids, "completion_ids": ids, "logprobs": log_probs}

    problems = [
        Problem(id=f"p{i}", domain="math", prompt=" ".join(f"{100 + i + j:x}" for j in range(120)))
        for i in range(len(wanted) // GROUP)
    ]
    verdicts = random.Random(rank)
    rows = [{"prompt": [{"role": "user", "content": p.prompt}], "problem_id": p.id, "domain": "math"} for p in problems]
    args = C3POConfig(
        str(out), use_cpu=True, max_steps=1, beta=0.0, num_generations=GROUP, max_completion_length=options.longest,
        prompts_per_step=len(problems), token_budget=int(0.9 * sum(wanted)), token_budget_scope="global",
        report_to="none", save_strategy="no", model_init_kwargs={"dtype": "float32"},
    )  # fmt: skip
    trainer = C3POTrainer(
        options.model,
        VerifiedReward(problems, lambda pairs: [Verdict("x", float(verdicts.random() < 0.5)) for _ in pairs]),
        args,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(options.model, padding_side="left"),
        rollout_func=rollout,
        on_rollout=RolloutWriter(out).extend if rank == 0 else None,
    )
    trainer.asked = [row for row in rows[rank * size // GROUP : (rank + 1) * size // GROUP] for _ in range(GROUP)]
    return trainer


def wrapped(trainer: Any) -> Timers:
    """Timers of a step's functions."""
    from trl.trainer import grpo_trainer

    from ringlite_cli.train.rl import rollout_trainer, updates

    timers = Timers()
    for owner, name, label in (
        (trainer, "_generate", "TRL: decoding, lengths"),
        (rollout_trainer, "response_texts", "decoding"),
        (trainer, "_calculate_rewards", "rewards (the verifier is a coin)"),
        (trainer, "_generate_and_score_completions", "TRL: padding, advantages"),
        (grpo_trainer, "gather_object", "TRL: gathering for its log"),
        (trainer._recorder, "finish", "record of the batch"),
        (trainer, "_gather_rollout", "facts of responses"),
        (trainer._planner, "select", "selection"),
        (trainer._planner, "_local_samples", "samples of this rank"),
        (trainer._planner, "_share", "exchange of samples"),
        (trainer._planner, "_pack", "balance"),
        (updates, "pack_row", "packing"),
        (trainer, "_stats", "numbers of the step"),
        (trainer, "_report_rollout", "rollouts.jsonl"),
        (trainer, "_plan", "plan: the rest"),
        (trainer, "_collect", "rollout: the rest"),
    ):
        timers.wrap(owner, name, label)
    return timers


def run_rank(options: argparse.Namespace) -> None:
    """One rank: build the trainer, run a step's host functions, print the numbers of all ranks on the first."""
    import torch
    from accelerate.utils import gather_object

    torch.set_num_threads(1)
    wanted = lengths(options.responses, options.mean, options.longest)
    trainer = make_trainer(options, wanted, Path(options.out))
    trainer.model.train()
    timers = wrapped(trainer)
    before = held_gb()
    trainer.accelerator.wait_for_everyone()
    started = time.perf_counter(), time.process_time()
    batches, rollout = trainer._collect(trainer.asked)
    trainer._seconds = {"rollout": 0.0, "reward": 0.0, "reference": 0.0}
    updates = trainer._plan(batches, rollout)
    wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    tokens = sum(sum(update.row_sizes) for update in updates)
    told = {"parts": dict(timers.seconds), "wall": wall, "cpu": cpu, "before": before, "peak": peak_gb()}
    everyone = gather_object([told | {"tokens": tokens}])
    if trainer.accelerator.is_main_process:
        print(json.dumps(everyone), flush=True)


def held_gb() -> float:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**30


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def report(ranks: list[ResultRow], options: argparse.Namespace) -> str:
    """The table of a run: rows by function, the dearest first."""
    names = {name for rank in ranks for name in rank["parts"]}
    worst = {n: [max(r["parts"].get(n, (0, 0))[i] for r in ranks) for i in (0, 1)] for n in names}
    lines = [
        f"{options.responses:,} responses of mean {options.mean:,} tokens on {len(ranks)} gloo ranks of "
        f"{os.cpu_count()} cores; {sum(r['tokens'] for r in ranks):,} tokens in packed rows",
        "| function | wall s | CPU s |",
        "|---|---|---|",
        *(f"| {n} | {w:.2f} | {c:.2f} |" for n, (w, c) in sorted(worst.items(), key=lambda item: -item[1][1])),
        f"| the step | {max(r['wall'] for r in ranks):.2f} | {max(r['cpu'] for r in ranks):.2f} |",
        f"CPU s of a rank: first {ranks[0]['cpu']:.2f}, median {statistics.median(r['cpu'] for r in ranks):.2f}",
        f"peak GB of a rank: {max(r['peak'] for r in ranks):.2f}, "
        f"of which the step added {max(r['peak'] - r['before'] for r in ranks):.2f}",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=int, default=1024)
    parser.add_argument("--mean", type=int, default=12_800, help="tokens of a response")
    parser.add_argument("--longest", type=int, default=49_152)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.responses, options.mean, options.longest, options.ranks = 64, 400, 2048, 2
    if options.model:
        run_rank(options)
        return
    if options.responses % (GROUP * options.ranks):
        sys.exit(f"--responses has to be a multiple of {GROUP} responses a prompt x {options.ranks} ranks")
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "model", options.longest)
        print(report(launch(options, Path(folder)), options))


def launch(options: argparse.Namespace, folder: Path) -> list[ResultRow]:
    """Run all ranks; return what each told."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = [part for n in ("responses", "mean", "longest", "ranks") for part in (f"--{n}", str(getattr(options, n)))]
    command = [sys.executable, __file__, *given, "--model", str(folder / "model"), "--out", str(folder)]
    common = os.environ | {"WORLD_SIZE": str(options.ranks), "LOCAL_WORLD_SIZE": str(options.ranks)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            command,
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank), "TOKENIZERS_PARALLELISM": "false"},
            stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
            text=True,
        )
        for rank in range(options.ranks)
    ]
    said = ranks[0].communicate()[0]
    codes = [process.wait() for process in ranks]
    if any(codes):
        sys.exit("a rank failed")
    result: list[ResultRow] = json.loads(said.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
