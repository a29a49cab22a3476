"""What RL takes of one GPU's memory, phase by phase, beside what `ringlite plan` says of it; random weights.

    python benchmarks/lora_memory.py                  a 7B shape with LoRA, a 1.7B shape in full, adapters in an engine
    python benchmarks/lora_memory.py --parts lora --shape ling-lite      16.8B, on a GPU of 141 GB
    python benchmarks/lora_memory.py --tiny           the same on a CPU, with two layers

Each part is a process of its own: a model of that shape is made on the device and saved in bfloat16; `run_rl` trains it
with a colocated vLLM that sleeps in updates, on responses of a forced length. Phases are told apart by what runs: a
thread reads how much of the device is taken. Counted beside it: the bytes of weights, gradients and optimizer, tensor
by tensor, and what torch takes on top in an update. Part `adapter` draws the same responses by an engine that takes
adapters as such (LoRARequest), with and without one: what merging costs at a sync, an adapter costs at every token.

--minutes 8: a part is not begun when less time is left than the last one took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRL_EXPERIMENTAL_SILENCE="1")

ResultRow = dict[str, Any]
GIB = 2**30
WORDS = 60
QWEN: ResultRow = {"model_type": "qwen2", "vocab_size": 152_064, "max_position_embeddings": 32_768}
SHAPES: dict[str, ResultRow] = {
    "7b": QWEN
    | {
        "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "tie_word_embeddings": False,
    },
    "1.5b": QWEN
    | {
        "vocab_size": 151_936, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "1.7b": {
        "model_type": "qwen3", "vocab_size": 151_936, "hidden_size": 2048, "intermediate_size": 6144,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "tie_word_embeddings": True, "max_position_embeddings": 32_768,
    },
    "ling-lite": {"model_type": "bailing_moe"},
    "tiny": QWEN
    | {
        "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False,
    },
}  # fmt: skip
PARTS = ("lora", "full", "adapter")


def main() -> None:
    options = _options()
    if options.part:
        print(json.dumps(_PART[options.part](options)), flush=True)
        return
    started, last, results = time.monotonic(), 0.0, {}
    for part in options.parts.split(","):
        begun = time.monotonic()
        left = 60 * options.minutes - (begun - started)
        if left < last:
            print(f"{part}: not begun, {left:.0f} s are left", flush=True)
            continue
        results[part] = _in_process(part, options, left)
        last = time.monotonic() - begun
        print(f"{part}: {last:.0f} s", flush=True)
        print("\n".join(_table(part, results[part])), flush=True)
    if all(part in results and "error" not in results[part] for part in ("lora", "adapter")):
        _compare_syncs(results["lora"], results["adapter"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}; with commas")
    parser.add_argument("--shape", choices=SHAPES, help="of lora and adapter; default: 7b. Part full is 1.7b")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=1024, help="length of every response")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--tiny", action="store_true", help="a tiny shape and short responses, for a CPU")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tiny:
        options.shape, options.prompts, options.samples, options.tokens, options.steps = "tiny", 4, 4, 24, 2
    return options


def _in_process(part: str, options: argparse.Namespace, seconds: float) -> ResultRow:
    names = ("prompts", "samples", "tokens", "steps", "rank")
    given = [text for name in names for text in (f"--{name}", str(getattr(options, name)))]
    given += ["--shape", options.shape] if options.shape else []
    command = [sys.executable, __file__, "--part", part, *given]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=max(1.0, seconds), check=False)
    except subprocess.TimeoutExpired:
        return {"error": "out of time"}
    if done.returncode:
        return {"error": f"exit code {done.returncode}", "said": done.stdout[-2000:]}
    found: ResultRow = json.loads(done.stdout.strip().splitlines()[-1])
    return found


# a part, in its own process


def _lora(options: argparse.Namespace) -> ResultRow:
    return _rl(options, SHAPES[options.shape or "7b"], {"r": options.rank, "lora_alpha": 2 * options.rank})


def _full(options: argparse.Namespace) -> ResultRow:
    return _rl(options, SHAPES["tiny" if options.shape == "tiny" else "1.7b"], None)


def _rl(options: argparse.Namespace, shape: ResultRow, lora: ResultRow | None) -> ResultRow:
    """Train some steps; return peaks by phase, bytes counted, the plan, and what steps took."""
    import torch

    from ringlite_cli.recipe.rl_settings import RlSettings
    from ringlite_cli.train.rl.run import Hooks, ModelOptions, run_rl

    rows: list[ResultRow] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_model(Path(scratch) / "model", shape)
        meter = Meter()
        with watched(meter) as seen:
            run_rl(
                folder,
                _problems(options),
                _verify,
                Path(scratch) / "run",
                RlSettings.made(
                    prompts_per_step=options.prompts,
                    token_budget=options.prompts * options.samples * options.tokens // 2,
                    sync_tolerance=0.5,
                    guard=None,
                    lora=lora,
                    trl=_trl(options),
                ),
                model=ModelOptions("bfloat16"),
                hooks=Hooks(rows.append),
            )
        meter.end()
    names = ("sync_seconds", "generation_seconds", "update_seconds", "step_seconds", "tokens_generated")
    steps = [{name: row.get(name) for name in names} for row in rows]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"device": device, "peaks": meter.peaks, **seen, "steps": steps, "torch": torch.__version__}


def _trl(options: argparse.Namespace) -> ResultRow:
    return {
        "num_generations": options.samples,
        "max_completion_length": options.tokens,
        "learning_rate": 1e-5,
        "beta": 1e-3,
        "max_steps": options.steps,
        "save_strategy": "no",
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_enable_sleep_mode": _cuda(),
        "vllm_max_model_length": options.tokens + 128,
        "generation_kwargs": {"ignore_eos": True, "min_tokens": options.tokens},
    }


def make_model(folder: Path, shape: ResultRow) -> Path:
    """Random weights of a shape in bfloat16, made on the device, and a small tokenizer with a chat template."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from ringlite_cli.models import register
    from ringlite_cli.models.new_model import train_tokenizer

    register()
    tokenizer = train_tokenizer([" ".join(f"w{i}" for i in range(WORDS))], 512)
    fields = {**shape, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    with torch.device("cuda" if _cuda() else "cpu"):
        config = AutoConfig.for_model(fields.pop("model_type"), **fields, bos_token_id=None)
        network = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    network.generation_config.pad_token_id = tokenizer.pad_token_id
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    del network
    if _cuda():
        torch.cuda.empty_cache()
    return folder


def _problems(options: argparse.Namespace) -> list[Any]:
    from ringlite_cli.problems import Problem

    count = options.prompts * options.steps
    prompts = [" ".join(f"w{(7 * i + j) % WORDS}" for j in range(6 + i % 4)) for i in range(count)]
    return [Problem(f"p{i}", "math", prompt, answer="1") for i, prompt in enumerate(prompts)]


def _verify(pairs: Any) -> list[Any]:
    from ringlite_cli.problems import Verdict

    return [Verdict("correct" if i % 3 else "wrong", float(bool(i % 3))) for i, _ in enumerate(pairs)]


class Meter:
    """The most that was taken of the device in each phase, in bytes, read every 10 ms; on a CPU the process's own."""

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self.phase = "load"
        self.allocated = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            taken = self.taken()
            self.peaks[self.phase] = max(self.peaks.get(self.phase, 0), taken)

    def taken(self) -> int:
        import torch

        if _cuda():
            free, total = torch.cuda.mem_get_info()
            return int(total - free)
        import psutil

        return int(psutil.Process().memory_info().rss)

    def during(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before, self.phase = self.phase, phase
            try:
                return call(*args, **kwargs)
            finally:
                self.peaks[self.phase] = max(self.peaks.get(self.phase, 0), self.taken())
                self.phase = before
                self.start_update()

        return wrapped

    def start_update(self) -> None:
        """Forget torch's peak: from now on it is an update's. An engine that sleeps still counts as allocated."""
        import torch

        if _cuda():
            self.allocated = int(torch.cuda.memory_allocated())
            torch.cuda.reset_peak_memory_stats()

    def growth(self) -> int:
        """Return by how many bytes torch's memory grew in an update, at its peak; 0 on a CPU."""
        import torch

        return int(torch.cuda.max_memory_allocated()) - self.allocated if _cuda() else 0

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


class watched:
    """In this block a run's phases are told to the meter, and what its trainer holds is counted."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.seen: ResultRow = {}

    def __enter__(self) -> ResultRow:
        from ringlite_cli.train.engine.watched import WatchedGeneration
        from ringlite_cli.train.rl.trainer import C3POTrainer

        meter, seen = self.meter, self.seen
        self._plain = C3POTrainer.train, WatchedGeneration
        train = C3POTrainer.train
        WatchedGeneration._init_vllm = meter.during("engine start", WatchedGeneration._init_vllm)
        WatchedGeneration.sync_weights = meter.during("sync", WatchedGeneration.sync_weights)
        WatchedGeneration.generate = meter.during("rollout", WatchedGeneration.generate)

        def trained(trainer: Any, *args: Any, **kwargs: Any) -> Any:
            seen.update(planned(trainer))
            trainer.add_callback(_counter(trainer, seen, meter))
            seen["before_training"] = meter.taken()
            meter.phase = "update"
            return train(trainer, *args, **kwargs)

        C3POTrainer.train = trained
        return seen

    def __exit__(self, *_: Any) -> None:
        from ringlite_cli.train.rl.trainer import C3POTrainer

        C3POTrainer.train = self._plain[0]


def _counter(trainer: Any, seen: ResultRow, meter: Meter) -> Any:
    """A callback that counts gradients and the optimizer's state, and torch's peak in an update."""
    import torch
    from transformers import TrainerCallback

    def bytes_of(tensors: Any) -> int:
        return sum(x.numel() * x.element_size() for x in tensors if torch.is_tensor(x))

    class Count(TrainerCallback):
        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
            gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
            seen["gradients"] = bytes_of(gradients)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            states = trainer.optimizer.state.values()
            seen["optimizer"] = bytes_of(x for state in states for x in state.values())
            seen["growth"] = meter.growth()  # of the last step: in the first, the optimizer's state is new

    seen["weights"] = bytes_of(trainer.model.parameters())
    reference = trainer.ref_model
    seen["reference"] = bytes_of(reference.parameters()) if reference is not None else 0
    return Count()


def planned(trainer: Any) -> ResultRow:
    """What the plan says of this trainer and its engine, part by part, in bytes."""
    from ringlite_cli.memory.engine import GRAPHS, engine_needs
    from ringlite_cli.memory.held import CONTEXT, Training, held_parts, resident, update_parts
    from ringlite_cli.memory.shapes import shape_of

    args, engine = trainer.args, trainer.vllm_generation
    shape = shape_of(trainer.model)
    longest = max(args.budget_step // args.gradient_accumulation_steps, args.max_completion_length + 64)
    how = Training(
        bf16=args.bf16,
        reference=bool(trainer.kl_coef),
        checkpointing=args.gradient_checkpointing,
        row_tokens=longest,
        fused=bool(args.use_liger_kernel),
    )
    held, update = held_parts(shape, how), update_parts(shape, how)
    needs = engine_needs(
        shape.config, shape.total, in_flight=engine.max_num_seqs or 1, length=engine.max_model_length or 1
    )
    total = _total()
    share = int(engine.gpu_memory_utilization * total)
    asleep = engine.enable_sleep_mode
    plan = held | update | {"engine": share, "context": CONTEXT, "graphs": GRAPHS if _cuda() else 0}
    fixed = plan["context"] + plan["graphs"]
    return {
        "plan": plan,
        "plan_rollout": resident(held) + share + fixed,
        "plan_update": sum(held.values()) + sum(update.values()) + fixed + (0 if asleep else share),
        "row_tokens": longest,
        "rows": args.gradient_accumulation_steps,
        "checkpointing": args.gradient_checkpointing,
        "utilization": engine.gpu_memory_utilization,
        "parameters": shape.total,
        "adapter": shape.adapter,
        "engine_weights": needs.weights,
        "engine_cache_wanted": needs.cache,
        "total": total,
    }


def _adapter(options: argparse.Namespace) -> ResultRow:
    """Tokens/s of an engine with and without an adapter, and seconds until a new one is taken."""
    from ringlite_cli.engine import prepare_environment

    prepare_environment(cuda=_cuda())
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    with tempfile.TemporaryDirectory() as scratch:
        folder = make_model(Path(scratch) / "model", SHAPES[options.shape or "7b"])
        network = AutoModelForCausalLM.from_pretrained(folder, dtype="bfloat16", device_map="cuda" if _cuda() else None)
        config = LoraConfig(
            r=options.rank, lora_alpha=2 * options.rank, task_type="CAUSAL_LM", target_modules="all-linear"
        )
        adapted = get_peft_model(network, config)
        responses = options.prompts * options.samples
        saved = Path(scratch) / "adapter"
        started = time.perf_counter()
        adapted.save_pretrained(saved)
        save_seconds = time.perf_counter() - started
        del adapted, network
        import torch

        if _cuda():
            torch.cuda.empty_cache()
        llm = LLM(
            model=str(folder), enable_lora=True, max_lora_rank=max(8, options.rank), max_model_len=options.tokens + 128,
            max_num_seqs=responses, gpu_memory_utilization=0.6 if _cuda() else 0.2, enforce_eager=not _cuda(),
        )  # fmt: skip
        params = SamplingParams(max_tokens=options.tokens, ignore_eos=True, detokenize=False, temperature=1.0)
        prompts = [{"prompt_token_ids": [5 + (7 * i + j) % WORDS for j in range(20)]} for i in range(responses)]
        short = SamplingParams(max_tokens=1, detokenize=False)

        def seconds(params: Any, request: Any, prompts: list[Any]) -> float:
            started = time.perf_counter()
            llm.generate(prompts, params, lora_request=request, use_tqdm=False)
            return time.perf_counter() - started

        seconds(short, None, prompts)
        first = seconds(short, LoRARequest("a1", 1, str(saved)), prompts[:1])
        one = seconds(short, LoRARequest("a1", 1, str(saved)), prompts[:1])
        plain, adapter = seconds(params, None, prompts), seconds(params, LoRARequest("a1", 1, str(saved)), prompts)
    tokens = responses * options.tokens
    return {
        "plain_tokens_per_second": tokens / plain,
        "adapter_tokens_per_second": tokens / adapter,
        "save_seconds": save_seconds,
        "load_seconds": first - one,
        "tokens": tokens,
    }


_PART = {"lora": _lora, "full": _full, "adapter": _adapter}


# what is printed


def _table(part: str, result: ResultRow) -> list[str]:
    if "error" in result:
        return [f"{part}: {result['error']}", result.get("said", "")]
    if part == "adapter":
        return [f"{name}: {value:,.2f}" for name, value in result.items()]
    plan, peaks = result["plan"], result["peaks"]
    lines = [
        f"\n{part}: {result['parameters'] / 1e9:.2f}B parameters, {result['adapter'] / 1e6:.0f}M of an adapter; "
        f"{result['device']}, {result['rows']} rows of {result['row_tokens']:,} tokens, "
        f"checkpointing {result['checkpointing']}, utilization {result['utilization']:g}",
        "| GiB | plan | measured | plan / measured |",
        "|---|---:|---:|---:|",
    ]
    lines += [_line(name, plan[name], result[name]) for name in ("weights", "gradients", "optimizer", "reference")]
    update = plan["gradients"] + plan["activations"] + plan["head"]
    lines.append(_line("growth in an update: gradients, activations, head", update, result["growth"]))
    lines.append(_line("rollout, device", result["plan_rollout"], max(peaks.get("rollout", 0), peaks.get("sync", 0))))
    lines.append(_line("update, device", result["plan_update"], peaks.get("update", 0)))
    shown = ", ".join(f"{phase} {size / GIB:.1f}" for phase, size in peaks.items())
    lines.append(f"taken of the device at most, GiB: {shown}; before training {result['before_training'] / GIB:.1f}")
    for number, step in enumerate(result["steps"], 1):
        shown = ", ".join(f"{name} {value:,.2f}" for name, value in step.items() if value is not None)
        lines.append(f"step {number}: {shown}")
    return lines


def _line(name: str, plan: int, measured: int) -> str:
    ratio = f"{plan / measured:.2f}" if measured else ""
    return f"| {name} | {plan / GIB:.2f} | {measured / GIB:.2f} | {ratio} |"


def _compare_syncs(lora: ResultRow, adapter: ResultRow) -> None:
    """What each way costs a step of the same tokens: a sync, and slower tokens where an adapter is applied to each."""
    tokens = adapter["tokens"]
    merged = lora["steps"][-1]["sync_seconds"]
    slower = tokens / adapter["adapter_tokens_per_second"] - tokens / adapter["plain_tokens_per_second"]
    apart = adapter["save_seconds"] + adapter["load_seconds"] + slower
    print(f"\na step of {tokens:,} tokens: merged {merged:.2f} s for its sync; as an adapter {apart:.2f} s, of which")
    print(f"{slower:.2f} s in slower tokens, {adapter['save_seconds'] + adapter['load_seconds']:.2f} s for its sync")
    print(f"ratio {apart / max(merged, 1e-9):.2f}")


def _total() -> int:
    import torch

    if _cuda():
        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


if __name__ == "__main__":
    main()
