"""How far engine and trainer are apart by the engine's number format, and what a format costs in tokens/s.

    python benchmarks/engine_formats.py                        a dense shape and a mixture, random weights, on a GPU
    python benchmarks/engine_formats.py --model FOLDER         a model of your own
    python benchmarks/engine_formats.py --quick                a tiny dense shape on a CPU, in under 4 minutes

Each case is a run of RL in a process of its own: a colocated vLLM of one `vllm_dtype` and `vllm_head_dtype`, a trainer
in bfloat16 with float32 master weights, the rule icepop, responses of a forced length. A case that this vLLM cannot run
says why, and the others go on; a mixture on a CPU is one, for vLLM does not take its new weights there. The dense
shape is that of rollout_carry.py (Qwen3, 0.6B), the mixture that of sharded.py (4 layers of Ling-lite). Random weights
are nearly undecided about every token, which hides rounding; so the last norm is scaled until the entropy of the next
token is 0.6 nats, as it is in the RL of a trained model.

A row: mean |ln k| (`engine_mismatch`) and its quantiles, the share that icepop masks, kpop's divergence below which
72 % of the tokens lie (its default masks the rest), the mean difference after a weight sync (`engine_drift`), the
entropy, tokens/s of generation, and the seconds in which vLLM started. Steps after the first count.

--put-head: where this vLLM has no float32 head, its matrix product is replaced by the one that later versions make.
--minutes 6: shared by the models; a case is not begun when less time is left than the model's shortest one took.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRL_EXPERIMENTAL_SILENCE="1")

ResultRow = dict[str, Any]
SHAPES = ("dense", "mixture")
ENTROPY = 0.6
KPOP_KEEPS = 0.72
COLUMNS = {
    "engine_mismatch": "mean abs ln k", "mismatch_p50": "p50", "mismatch_p90": "p90", "mismatch_p99": "p99",
    "mismatch_masked": "icepop masks", "kpop_divergence": "kpop's bound", "engine_drift": "drift after sync",
    "entropy": "entropy", "generation_tokens_per_second": "tokens/s", "start_seconds": "start, s",
}  # fmt: skip


def main() -> None:
    options = _options()
    if options.make:
        make_model(options.make[0], Path(options.make[1]), quick=options.quick)
    elif options.case:
        print(json.dumps(run_case(*options.case, options)), flush=True)
    else:
        compare(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model's folder, instead of random weights")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, help="default: both, with --quick dense")
    parser.add_argument("--formats", nargs="+", help="vllm_dtype; default: bfloat16 float16, on a CPU bfloat16 float32")
    parser.add_argument("--heads", nargs="+", default=["auto", "float32"], help="vllm_head_dtype")
    parser.add_argument("--prompts", type=int, default=64, help="a step's")
    parser.add_argument("--samples", type=int, default=8, help="responses to each prompt")
    parser.add_argument("--tokens", type=int, default=256, help="length of every response")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-6, help="0: weights stay as they are, rounding alone is left")
    parser.add_argument("--memory", type=float, default=0.4, help="share of the GPU's memory that vLLM takes")
    parser.add_argument("--put-head", action="store_true", help="stand in for a float32 head that this vLLM has not")
    parser.add_argument("--minutes", type=float, help="shared by the models; default: 6, with --quick 3.8")
    parser.add_argument("--out", type=Path, help="a file for all results, as JSON lines")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.prompts, options.samples, options.tokens, options.steps = 4, 4, 24, 2
        options.formats = options.formats or ["bfloat16", "float32"]
    options.formats = options.formats or ["bfloat16", "float16"]
    options.shapes = options.shapes or (["dense"] if options.quick else list(SHAPES))
    options.minutes = options.minutes or (3.8 if options.quick else 6)
    return options


def compare(options: argparse.Namespace) -> None:
    """Run all cases of all models, one after the other, and print a row for each."""
    from ringlite_cli.engine import check_vllm, vllm_version

    check_vllm("benchmarks/engine_formats.py", instead="measure nothing")
    names = [options.model] if options.model else options.shapes
    started = time.monotonic()
    sizes = f"{options.prompts} x {options.samples} responses of {options.tokens} tokens, {options.steps} steps"
    print(f"vLLM {vllm_version()}; {sizes}, the first left out", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(names, 1):
            folder, taken = Path(name), list[float]()
            ends = started + 60 * options.minutes * number / len(names)  # what a model leaves, the next one has
            print(f"\n{name}\n\n| vllm_dtype | head | {' | '.join(COLUMNS.values())} |", flush=True)
            print(f"|---|---|{'---:|' * len(COLUMNS)}", flush=True)
            if not options.model:
                folder = Path(scratch) / name
                made = _python(["--make", name, str(folder)], options, ends - time.monotonic())
                if "error" in made:
                    print(f"the model could not be made: {made['error']}", flush=True)
                    continue
            for dtype, head in _cases(options):
                begun = time.monotonic()
                found = _case(folder, dtype, head, options, ends, min(taken, default=0.0))
                taken += [time.monotonic() - begun] if "error" not in found else []
                print(_row(dtype, head, found), flush=True)
                if options.out:
                    with options.out.open("a") as file:
                        file.write(json.dumps({"model": name, "dtype": dtype, "head": head} | found) + "\n")


def _cases(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Return pairs of format and head; a float32 engine has a float32 head."""
    pairs = [(dtype, head) for head in options.heads for dtype in options.formats]
    return [(dtype, head) for dtype, head in pairs if not dtype == head == "float32"]


def _case(folder: Path, dtype: str, head: str, options: argparse.Namespace, ends: float, least: float) -> ResultRow:
    """Return what a case measured, or {"error": why not}. ends: when all is over. least: seconds that it takes."""
    from ringlite_cli.engine import head_dtype_fault

    if head != "auto" and not options.put_head and (why := head_dtype_fault()):
        return {"error": f"cannot run: {why}"}
    left = ends - time.monotonic()
    if left < least or left <= 0:
        return {"error": f"not run: {max(left, 0):.0f} s were left, the shortest case took {least:.0f}"}
    return _python(["--case", str(folder), dtype, head], options, left)


def _python(arguments: list[str], options: argparse.Namespace, seconds: float) -> ResultRow:
    """Run this file in a process of its own; return what its last line says, or {"error": why it says nothing}."""
    names = ("prompts", "samples", "tokens", "steps", "lr", "memory")
    given = [text for name in names for text in (f"--{name}", str(getattr(options, name)))]
    given += [flag for flag in ("--quick", "--put-head") if getattr(options, flag[2:].replace("-", "_"))]
    command = [sys.executable, __file__, *given, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, seconds), check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"ended after {seconds:.0f} s, for the time was over"}
    if done.returncode:
        print(done.stderr[-3000:], file=sys.stderr, flush=True)
        said = re.findall(r"\w+(?:Error|Failed|Exception): .*", done.stderr) or ["nothing"]
        return {"error": f"failed with exit code {done.returncode}: {said[-1][:300].replace('|', '/')}"}
    lines = done.stdout.strip().splitlines()
    found: ResultRow = json.loads(lines[-1]) if lines else {}
    return found


def _row(dtype: str, head: str, found: ResultRow) -> str:
    if "error" in found:
        return f"| {dtype} | {head} | {found['error']} |" + " |" * (len(COLUMNS) - 1)
    cells = []
    for name in COLUMNS:
        value = found.get(name)
        whole = name in ("generation_tokens_per_second", "start_seconds")
        cells.append("–" if value is None else f"{value:,.0f}" if whole else f"{value:.3g}")
    return f"| {dtype} | {head}{', put in' if found['put'] else ''} | {' | '.join(cells)} |"


# a model, in a process of its own


def make_model(shape: str, folder: Path, *, quick: bool) -> None:
    """Write random weights of a shape whose next token has an entropy of `ENTROPY` nats on random prompts."""
    import rollout_carry
    import sharded

    if shape == "dense":
        rollout_carry._model(folder, Namespace(quick=quick, longest=2048))
    else:
        sharded.TINY.update(hidden_size=64, head_dim=32)  # a size of heads that vLLM has kernels for
        sharded._make("ling-4-layers", folder, tiny=quick)
    sharpen(folder)


def sharpen(folder: Path) -> None:
    """Scale the last norm of a saved model until the mean entropy of its next tokens is `ENTROPY` nats."""
    import torch
    from transformers import AutoModelForCausalLM

    from ringlite_cli.models import register

    register()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(device)
    torch.manual_seed(3)
    sharpen_model(model, torch.randint(3, min(400, model.config.vocab_size), (8, 64), device=device))
    model.save_pretrained(folder)


def sharpen_model(model: Any, ids: Any) -> float:
    """The same for a model at hand, over these prompts; return the entropy that it came to."""
    import torch

    norm = model.model.norm.weight
    plain = norm.detach().clone()

    @torch.no_grad()
    def entropy(scale: float) -> float:
        norm.copy_(plain * scale)
        logs = model(input_ids=ids).logits.float().log_softmax(-1)
        return float(-(logs.exp() * logs).sum(-1).mean())

    low, high = 0.5, 200.0
    for _ in range(16):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if entropy(middle) > ENTROPY else (low, middle)
    return entropy(high)


# a case, in a process of its own


def run_case(folder: str, dtype: str, head: str, options: argparse.Namespace) -> ResultRow:
    """Train some steps with an engine of these formats; return the means of the steps that count."""
    import torch

    from ringlite_cli.engine import head_dtype_fault, prepare_environment
    from ringlite_cli.recipe.rl_settings import RlSettings
    from ringlite_cli.train.rl.run import Hooks, ModelOptions, run_rl

    rows: list[ResultRow] = []
    prepare_environment(cuda=torch.cuda.is_available())
    seen = watch()
    put = head != "auto" and options.put_head and bool(head_dtype_fault())
    if put:
        put_head()
    with tempfile.TemporaryDirectory() as scratch:
        settings = RlSettings.made(
            prompts_per_step=options.prompts,
            token_budget=options.prompts * options.samples * options.tokens // 2,
            sync_tolerance=5.0,
            guard=None,
            mismatch={"rule": "icepop"},
            vllm_dtype=dtype,
            vllm_head_dtype="auto" if put else head,
            trl=_trl(options, cuda=torch.cuda.is_available()),
        )
        run_rl(
            Path(folder), problems(options), verify, Path(scratch) / "run", settings,
            model=ModelOptions("bfloat16", prompt_suffix={}), hooks=Hooks(rows.append),
        )  # fmt: skip
    counted = rows[1:]
    found = {name: statistics.fmean(row[name] for row in counted) for name in COLUMNS if name in counted[0]}
    divergences = torch.cat(seen["divergences"][1:])
    place = max(1, int(KPOP_KEEPS * len(divergences)))
    return found | {
        "kpop_divergence": float(divergences.kthvalue(place).values),
        "start_seconds": seen["start_seconds"],
        "put": put,
        "tokens": len(divergences),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "steps": [{name: row.get(name) for name in COLUMNS} for row in rows],
    }


def _trl(options: argparse.Namespace, *, cuda: bool) -> ResultRow:
    return {
        "num_generations": options.samples,
        "max_completion_length": options.tokens,
        "max_steps": options.steps,
        "learning_rate": options.lr,
        "beta": 0.0,
        "save_strategy": "no",
        "gradient_checkpointing": cuda,
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": options.memory,
        "vllm_max_model_length": options.tokens + 256,
        "generation_kwargs": {"ignore_eos": True, "min_tokens": options.tokens},
    }


def watch() -> ResultRow:
    """Have this process note the seconds of vLLM's start, and every trained token's divergence by steps."""
    import torch

    from ringlite_cli.c3po.mismatches.kpop import divergence
    from ringlite_cli.train.engine.watched import WatchedGeneration
    from ringlite_cli.train.rl.drift import Drift

    seen: ResultRow = {"start_seconds": 0.0, "divergences": []}
    start, add, close = WatchedGeneration._init_vllm, Drift.add, Drift.close
    step: list[torch.Tensor] = []

    def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return start(self, *args, **kwargs)
        finally:
            seen["start_seconds"] += time.perf_counter() - begun

    def added(self: Any, sums: Any, *args: Any, **kwargs: Any) -> None:
        if sums.drawn is not None:
            step.append(divergence(sums.drawn)[sums.drawn.mask].float().cpu())
        add(self, sums, *args, **kwargs)

    def closed(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen["divergences"].append(torch.cat(step) if step else torch.zeros(0))
        step.clear()
        return close(self, *args, **kwargs)

    WatchedGeneration._init_vllm, Drift.add, Drift.close = timed, added, closed  # type: ignore[method-assign]
    return seen


def put_head() -> None:
    """Have vLLM compute logits in float32 from hidden states and head as they are: what a float32 head is."""
    import torch
    from vllm.model_executor.layers.logits_processor import LogitsProcessor

    def get_logits(self: Any, hidden: torch.Tensor, lm_head: Any, bias: Any = None, *_: Any) -> Any:
        if hidden.is_cuda:
            logits = torch.mm(hidden, lm_head.weight.t(), out_dtype=torch.float32)
        else:
            logits = torch.nn.functional.linear(hidden.float(), lm_head.weight.float())
        return (logits if bias is None else logits + bias.float())[..., : self.org_vocab_size]

    LogitsProcessor._get_logits = get_logits


def problems(options: argparse.Namespace) -> list[Any]:
    """Prompts of words that both tokenizers know, as many as the steps take."""
    from ringlite_cli.problems import Problem

    def prompt(i: int) -> Iterator[str]:
        yield from (f"w{3 + (7 * i + 13 * j) % 1900}" for j in range(12))

    return [Problem(f"p{i}", "math", " ".join(prompt(i)), answer="1") for i in range(options.prompts * options.steps)]


def verify(pairs: Any) -> list[Any]:
    """Verdicts that differ within a group, so that every step trains."""
    from ringlite_cli.problems import Verdict

    return [Verdict("correct" if i % 3 else "wrong", float(bool(i % 3))) for i, _ in enumerate(pairs)]


if __name__ == "__main__":
    main()
