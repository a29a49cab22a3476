"""The update phase of RL: TRL's stock GRPOTrainer beside ringlite's C3POTrainer, on the same long-tailed rollouts.

    python benchmarks/update_phase.py --quick     tiny mixture of experts on a CPU, under 3 minutes
    python benchmarks/update_phase.py             the same, more steps
    python benchmarks/update_phase.py --gpu       a 0.6B model of Qwen3's shape, 64 responses of up to 8,192 tokens
    python benchmarks/update_phase.py --gpu --grid --results F    every layout; F keeps finished cases
    python benchmarks/update_phase.py --gpu --short               two counted steps of stock, one layout of ringlite
    python benchmarks/update_phase.py --gpu --profile             what ringlite's last step spends its time on
    python benchmarks/update_phase.py --gpu --kernels    ringlite alone, once with each attention kernel that is there

Rollouts are handed in, rewards cost nothing, and what TRL does with a rollout before it is trained (padding, decoding,
rewards) is left out of a step's time for both trainers, so a step is the update phase: selection, packing, loss,
gradients, optimizer. Each trainer runs in a process of its own (its peak memory is its own), over two series of steps:
`throughput`, where lengths are drawn alike in every step, and `swing`, where their mean swings by a factor of 4 from
step to step. The first step of a series is not counted (on a GPU the first two). ringlite trains a budget that every
step can fill, with the allocator's settings of a run; stock trains everything.
The last line is `ratio R`: ringlite's trained tokens per second over stock's, in the throughput series; with
--kernels, that of the fastest kernel over torch's. The column `kernel` names what packed rows ran their attention by.
"""

import argparse
import json
import math
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRL_EXPERIMENTAL_SILENCE="1")

ResultRow = dict[str, Any]
GROUP, EOS, PAD = 8, 60, 61
SIZES: dict[str, ResultRow] = {
    "quick": {"responses": 32, "longest": 512, "prompt": 16, "steps": 3, "swing": 3, "rows": 4},
    "cpu": {"responses": 64, "longest": 1024, "prompt": 32, "steps": 6, "swing": 8, "rows": 8},
    "gpu": {"responses": 64, "longest": 8192, "prompt": 120, "steps": 5, "swing": 21, "rows": 8},
    "rehearsal": {"responses": 16, "longest": 64, "prompt": 4, "steps": 1, "swing": 2, "rows": 2},
}
SWINGS = (1.0, 0.5, 0.25, 0.7, 0.35)
"""Mean length of a step in the swing series, by which it is repeated."""


def lengths(size: ResultRow, series: str) -> list[list[int]]:
    """Response lengths of every step of a series: lognormal, cut at the longest."""
    rng = random.Random(series)
    scales = [1.0] * (size["steps"] + 1)
    if series == "swing":
        scales = [1.0] + [SWINGS[i % len(SWINGS)] for i in range(size["swing"])]
    top = size["longest"]
    return [
        [min(top, max(8, int(rng.lognormvariate(math.log(top * scale / 8), 0.9)))) for _ in range(size["responses"])]
        for scale in scales
    ]


def save_model(folder: Path, gpu: bool, longest: int) -> None:
    """Random weights and a word tokenizer as a Hugging Face folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    special = {"eos_token_id": EOS, "pad_token_id": PAD, "bos_token_id": None, "max_position_embeddings": 4 * longest}
    if gpu:
        config = AutoConfig.for_model(
            "qwen3", vocab_size=151_936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28,
            num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True, **special,
        )  # fmt: skip
    else:
        config = AutoConfig.for_model(
            "ernie4_5_moe", vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, moe_intermediate_size=128, moe_num_experts=8, moe_k=2,
            moe_num_shared_experts=1, moe_layer_start_index=1, tie_word_embeddings=True, **special,
        )  # fmt: skip
    torch.manual_seed(0)
    dtype = torch.bfloat16 if gpu else torch.float32
    AutoModelForCausalLM.from_config(config, dtype=dtype).save_pretrained(folder)
    words = {f"w{i}": i for i in range(EOS)} | {"<eos>": EOS, "<pad>": PAD, "<unk>": PAD + 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)


def run_case(case: ResultRow) -> ResultRow:
    """Both series of one trainer in this process; raises what the trainer raises (out of memory, for example)."""
    import gc

    import torch

    from ringlite_cli.train.speed import peak_flops

    size = SIZES[case["size"]]
    if not torch.cuda.is_available():
        torch.set_num_threads(case["threads"])
    result: ResultRow = {"name": case["name"], "kernel": "own"}
    for series in ("throughput", "swing")[: 2 if case["swing"] else 1]:
        plan = lengths(size, series)
        result[series] = run_series(case, size, plan[: case["steps"] + 1] if case.get("steps") else plan)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # the next series lays its rows out in the memory that is free
    if case["kind"] != "stock":
        from ringlite_cli.c3po.kernel_choice import in_use

        result["kernel"] = in_use() or "sdpa"
    if torch.cuda.is_available():
        result["peak_gb"] = torch.cuda.max_memory_allocated() / 2**30
        result["device"] = torch.cuda.get_device_name()
        result["peak_flops"] = peak_flops(result["device"])
    else:
        result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        result["device"] = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
        result["peak_flops"] = matmul_flops()
    return result


def run_series(case: ResultRow, size: ResultRow, plan: list[list[int]]) -> ResultRow:
    """Seconds, trained tokens, waste and useful FLOPs of each counted step."""
    trainer, budget = make_trainer(case, size, plan)
    clock = StepClock()
    trainer.add_callback(clock.callback())
    trainer._generate_and_score_completions = clock.paused(trainer._generate_and_score_completions)
    waste: list[float] = []
    forward = trainer._compute_loss

    def counting(model: Any, inputs: ResultRow) -> Any:
        waste.append(waste_of(trainer, inputs))
        return forward(model, inputs)

    trainer._compute_loss = counting
    if case.get("profile"):
        trainer.add_callback(profile_of_step(len(plan)))
    trainer.train()
    warm = warming(size)
    kept = [sum(x) if budget is None else budget for x in plan][warm:]
    seconds = clock.seconds[warm:]
    return {
        "seconds": seconds,
        "tokens": kept,
        "rows": trainer.args.gradient_accumulation_steps,
        "checkpointing": trainer.args.gradient_checkpointing,
        "waste": statistics.mean(waste),
        "flops": statistics.mean(useful_flops(trainer.model, x, size["prompt"], budget) for x in plan[warm:]),
    }


def warming(size: ResultRow) -> int:
    """Steps at the start of a series that are not counted."""
    return 2 if size is SIZES["gpu"] else 1


def make_trainer(case: ResultRow, size: ResultRow, plan: list[list[int]]) -> tuple[Any, int | None]:
    """The trainer of a case, and its token budget (None: stock, which trains every token)."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    gpu, budget = torch.cuda.is_available(), min(map(sum, plan))
    rows, checkpointing = case.get("rows") or size["rows"], case["checkpointing"]
    if case["kind"] == "automatic":
        rows, checkpointing = automatic_layout(case, size, budget)
    rng = random.Random(0)
    drawn = [[[rng.randrange(EOS) for _ in range(n - 1)] + [EOS] for n in wanted] for wanted in plan]
    step = [0]

    def rollout(prompts: list[Any], trainer: Any) -> ResultRow:
        responses = drawn[step[0] % len(plan)][: len(prompts)]
        step[0] += 1
        ids = [trainer.processing_class(prompt)["input_ids"] for prompt in prompts]
        return {"prompt_ids": ids, "completion_ids": responses, "logprobs": None}

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [float(i % 3) for i in range(len(completions))]

    fields: ResultRow = {
        "output_dir": tempfile.mkdtemp(), "use_cpu": not gpu, "bf16": gpu, "max_steps": len(plan), "beta": 0.0,
        "per_device_train_batch_size": size["responses"] // rows, "gradient_accumulation_steps": rows,
        "num_generations": GROUP, "max_completion_length": size["longest"], "learning_rate": 1e-6,
        "gradient_checkpointing": checkpointing, "disable_dropout": True, "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": gpu, "router_aux_loss_coef": 0.0,
        "model_init_kwargs": {"dtype": case.get("weights", "bfloat16") if gpu else "float32"},
    }  # fmt: skip
    if case.get("liger"):
        fields["use_liger_kernel"] = True
        fields["liger_kernel_config"] = {"cross_entropy": False, "fused_linear_cross_entropy": False}
    prompt = " ".join(f"w{i % EOS}" for i in range(size["prompt"]))
    options: ResultRow = {
        "model": case["model"],
        "reward_funcs": reward,
        "train_dataset": Dataset.from_dict({"prompt": [prompt] * size["responses"]}),
        "processing_class": AutoTokenizer.from_pretrained(case["model"], padding_side="left"),
        "rollout_func": rollout,
    }
    if case["kind"] == "stock":
        trainer = GRPOTrainer(args=GRPOConfig(**fields, loss_type="dapo"), **options)
    else:
        from ringlite_cli.train.rl.config import C3POConfig
        from ringlite_cli.train.rl.trainer import C3POTrainer

        fields |= {"prompts_per_step": size["responses"] // GROUP, "token_budget": budget}
        trainer = C3POTrainer(args=C3POConfig(**fields), **options)
    trainer.remove_callback(PrinterCallback)
    return trainer, None if case["kind"] == "stock" else budget


def automatic_layout(case: ResultRow, size: ResultRow, budget: int) -> tuple[int, bool]:
    """Rows and gradient checkpointing as a run chooses them from this device's memory."""
    from ringlite_cli.recipe.c3po import C3POSettings
    from ringlite_cli.train.rl.row_layout import Asked, row_layout

    longest = size["prompt"] + size["longest"]
    layout, _ = row_layout(Path(case["model"]), {}, Asked(longest, size["responses"]))
    settings = C3POSettings(prompts_per_step=size["responses"] // GROUP, token_budget=budget)
    tokens = {"mean_prompt_tokens": size["prompt"], "row_tokens": layout.row_tokens}
    batch = settings.batch(GROUP, size["longest"], **tokens)
    return batch.rows, layout.gradient_checkpointing


def now() -> float:
    """Seconds, with the device's work done."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class StepClock:
    """Wall time of each optimizer step, without what passes in paused calls."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._paused = 0.0

    def paused(self, call: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = now()
            result = call(*args, **kwargs)
            self._paused += now() - started
            return result

        return timed

    def callback(self) -> Any:
        from transformers import TrainerCallback

        clock = self

        class Callback(TrainerCallback):
            started = 0.0

            def on_step_begin(self, *_: Any, **__: Any) -> None:
                clock._paused = 0.0
                self.started = now()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                clock.seconds.append(now() - self.started - clock._paused)

        return Callback()


def profile_of_step(number: int) -> Any:
    """A callback that profiles one step and prints what takes longest: kernels of a GPU, else operations of the CPU."""
    import torch
    from torch.profiler import ProfilerActivity, profile
    from transformers import TrainerCallback

    gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]

    class Callback(TrainerCallback):
        watch: Any = None

        def on_step_begin(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step == number - 1:
                self.started = now()
                self.watch = profile(activities=activities)
                self.watch.__enter__()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if self.watch is None:
                return
            seconds = now() - self.started
            self.watch.__exit__(None, None, None)
            found, self.watch = self.watch.key_averages(), None
            busy = sum(each.self_device_time_total for each in found) / 1e6
            print(f"profiled step: {seconds:.2f} s, of which kernels {busy:.2f} s", file=sys.stderr)
            order = "self_cuda_time_total" if gpu else "self_cpu_time_total"
            print(found.table(sort_by=order, row_limit=30, max_name_column_width=70), file=sys.stderr)

    return Callback()


def waste_of(trainer: Any, inputs: ResultRow) -> float:
    """Share of a micro-batch's positions that no sample stands on; of a packed row, by which it falls short."""
    if "update" in inputs:
        sizes = trainer._updates[inputs["update"]].row_sizes
        return 1 - sizes[inputs["row"]] / max(sizes)
    masks = (inputs["prompt_mask"], inputs["completion_mask"])
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def useful_flops(model: Any, responses: list[int], prompt: int, budget: int | None) -> float:
    """Forward and backward over a step's real tokens; of a budget's, the share that it trains."""
    from ringlite_cli.train.speed import training_flops

    share = 1.0 if budget is None else budget / sum(responses)
    sizes = [n + prompt for n in responses]
    return share * training_flops(model).of(sum(sizes), sum(responses), sum(n * n for n in sizes))


def matmul_flops() -> float:
    """What this CPU's matrix product reaches, in float32: the 100 % of the MFU column."""
    import torch

    a = torch.randn(1024, 1024)
    best = math.inf
    for _ in range(5):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 2 * 1024**3 / best


def cases(size_name: str, gpu: bool, threads: int, liger: bool, grid: bool) -> list[ResultRow]:
    """Stock first, then ringlite: as a run lays it out by itself, and on a GPU in layouts of its own."""
    common = {"size": size_name, "threads": threads, "swing": True}
    stock = {**common, "name": "stock GRPOTrainer", "kind": "stock", "checkpointing": gpu}
    packed = {**common, "name": "ringlite C3POTrainer", "kind": "packed", "checkpointing": False}
    if not gpu:
        return [stock, packed]
    stock |= {"rows": 32, "steps": 6}  # a step takes it half a minute
    made = [stock]
    for weights in ("bfloat16", "float32"):  # a run with `dtype: bfloat16` trains float32 weights under autocast
        name = f"ringlite, automatic, {weights} weights"
        made.append({**packed, "name": name, "kind": "automatic", "liger": liger, "weights": weights})
    for rows, checkpointing, kernels in layouts(liger) if grid else [(2, True, liger), (4, False, liger)]:
        parts = [f"ringlite, {rows} rows", "checkpointing" * checkpointing, "liger" * kernels, "bfloat16 weights"]
        case = {"rows": rows, "checkpointing": checkpointing, "liger": kernels, "weights": "bfloat16"}
        made.append({**packed, **case, "name": ", ".join(filter(None, parts)), "swing": False})
    return made


def shorter(made: list[ResultRow]) -> list[ResultRow]:
    """Stock without the swing, in 2 counted steps, and ringlite in the layout that it chooses."""
    stock, *ours = made
    steps = warming(SIZES[stock["size"]]) + 1
    return [stock | {"swing": False, "steps": steps}, *(case for case in ours if case["kind"] == "automatic")]


def kernel_cases(size_name: str, gpu: bool, threads: int, liger: bool, steps: int | None) -> list[ResultRow]:
    """ringlite as a run lays it out by itself, once with each installed attention kernel, torch's first."""
    from ringlite_cli.c3po.varlen_kernels import VARIABLE, installed

    case: ResultRow = {"size": size_name, "threads": threads, "swing": True, "kind": "packed", "checkpointing": False}
    if gpu:
        case |= {"kind": "automatic", "liger": liger, "weights": "bfloat16"}
    if steps:
        case["steps"] = steps + warming(SIZES[size_name]) - 1
    return [
        {
            **case,
            "name": f"ringlite{', automatic, bfloat16 weights' * gpu}, {kernel.name}",
            "environment": {VARIABLE: kernel.name},
        }
        for kernel in installed()
    ]


def layouts(liger: bool) -> list[tuple[int, bool, bool]]:
    """(rows, checkpointing, liger); those that do not fit say so in the table."""
    pairs = [(8, True), (4, True), (2, True), (8, False), (4, False), (2, False), (1, False)]
    return [(*pair, kernels) for pair in pairs for kernels in ((False, True) if liger else (False,))]


def in_own_process(case: ResultRow) -> ResultRow:
    """run_case in a new interpreter; a case that fails has only its error."""
    grows = {} if case["kind"] == "stock" else {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    done = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | grows | case.get("environment", {}),
    )
    if done.returncode:
        error = (done.stderr.strip().splitlines() or ["?"])[-1]
        return {"name": case["name"], "error": error[:90]}
    if case.get("profile"):
        print(done.stderr[done.stderr.rindex("profiled step") :], file=sys.stderr)
    result: ResultRow = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def speed(series: ResultRow) -> float:
    return float(sum(series["tokens"]) / sum(series["seconds"]))


def line(result: ResultRow, base: float) -> str:
    if "error" in result:
        return f"| {result['name']} | {result['error']} | | | | | | | | |"
    steady, series = result["throughput"], result.get("swing")
    seconds = statistics.mean(steady["seconds"])
    mfu = steady["flops"] / seconds / result["peak_flops"] if result["peak_flops"] else math.nan
    swing = cv = "–"
    if series:
        swing, cv = (
            f"{speed(series):,.0f}",
            f"{statistics.pstdev(series['seconds']) / statistics.mean(series['seconds']):.1%}",
        )
    layout = f" ({steady['rows']} rows{', checkpointing' * steady['checkpointing']})" * ("automatic" in result["name"])
    return (
        f"| {result['name']}{layout} | {result.get('kernel', '?')} | "
        f"{speed(steady):,.0f} | {speed(steady) / base:.2f}x | {seconds:.2f} | "
        f"{result['peak_gb']:.1f} | {steady['waste']:.1%} | {mfu:.1%} | {swing} | {cv} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 3 minutes on a CPU")
    parser.add_argument("--gpu", action="store_true", help="the 0.6B model")
    parser.add_argument("--grid", action="store_true", help="on a GPU: every layout, not a few")
    parser.add_argument("--kernels", action="store_true", help="ringlite alone, with each installed attention kernel")
    parser.add_argument("--short", action="store_true", help="on a GPU: fewer steps of stock, one layout of ringlite")
    parser.add_argument("--steps", type=int, help="with --kernels: counted steps of each series, where fewer do")
    parser.add_argument("--profile", action="store_true", help="ringlite alone, its last step taken apart")
    parser.add_argument("--results", type=Path, help="a file that keeps finished cases, for a run in parts")
    parser.add_argument("--size", choices=SIZES, help="which rollouts; default by the other flags")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads on a CPU")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run_case(json.loads(options.case))))
        return
    from importlib.metadata import version
    from importlib.util import find_spec

    liger = find_spec("liger_kernel") is not None
    name = options.size or ("gpu" if options.gpu else "quick" if options.quick else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), options.gpu, SIZES[name]["longest"])
        kept = json.loads(options.results.read_text()) if options.results and options.results.exists() else {}
        if options.kernels or options.profile:
            made = kernel_cases(name, options.gpu, options.threads, liger, options.steps)
            if options.profile:
                made = [made[0] | {"profile": True, "swing": False}]
        else:
            made = cases(name, options.gpu, options.threads, liger, options.grid)
            made = shorter(made) if options.short else made
        for case in made:
            if case["name"] not in kept:
                kept[case["name"]] = result = in_own_process(case | {"model": folder})
                print(f"{case['name']}: {result.get('error', 'done')}", file=sys.stderr, flush=True)
            if options.results:
                options.results.write_text(json.dumps(kept))
        results = list(kept.values())
    step = lengths(SIZES[name], "throughput")[1]
    packages = ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers", "trl"))
    device = next((r["device"] for r in results if "device" in r), "?")
    print(
        f"{device}; {packages}; {len(step)} responses a step, mean {statistics.mean(step):.0f}, max {max(step)} tokens"
    )
    print("| trainer | kernel | tokens/s | ratio | s/step | peak GB | waste | MFU | swing tokens/s | swing step CV |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    if "error" in results[0]:
        sys.exit(f"{results[0]['name']} did not run: {results[0]['error']}")
    base = speed(results[0]["throughput"])
    for result in results:
        print(line(result, base))
    best = max((speed(r["throughput"]) for r in results[1:] or results if "error" not in r), default=0.0)
    print(f"ratio {best / base:.2f}")


if __name__ == "__main__":
    main()
