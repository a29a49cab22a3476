"""Training of one long sample a row on one GPU: tokens/s and MFU, beside what prime-rl publishes for the same shapes.

    python benchmarks/trainer_rows.py            Qwen3 0.6B in full and 4B with LoRA r16, 16,384 and 65,536 tokens
    python benchmarks/trainer_rows.py --only 4B    rows of one shape
    python benchmarks/trainer_rows.py --quick    the same path with a tiny shape on a CPU, under 2 minutes

Random weights, gradient checkpointing, float32 weights under bfloat16 (LoRA: a bfloat16 base), on a GPU with liger's
kernels, a sample to a row and two rows to a step. A step is the update phase: forward, backward, optimizer, and before
them selection and packing. Each row of the table is a process of its own; numbers are medians of the counted steps,
the first two left out.

MFU stands by two counts: ringlite's (docs/metrics.md: causal attention by half, the head for trained tokens) and
prime-rl's (`src/prime_rl/trainer/perf.py`: 6 x weights of matrix products, 4 where they are frozen, + 12 x layers x
hidden size x length for attention, both halves), by which its published numbers are to be read. Both leave out what
checkpointing computes again. Published: benchmarks/results/BENCHMARKS.md of prime-rl, January 2026, one H100 with
FlashAttention 3, rows "RL Full" and "RL LoRA(r=16)", "Recompute".
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from update_phase import EOS, StepClock, save_model

ResultRow = dict[str, Any]
PROMPT, WARM = 16, 2
SHAPES: dict[str, ResultRow] = {
    "0.6B": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
    "4B": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
}
"""Qwen3's shapes."""
PUBLISHED = {("0.6B", 16_384): (11.1, 11.90), ("0.6B", 65_536): (26.8, 10.15),
             ("4B", 16_384): (21.7, 6.23), ("4B", 65_536): (37.4, 4.16)}  # fmt: skip
"""(shape, tokens): prime-rl's MFU in % and thousand tokens/s, full for 0.6B and LoRA r16 for 4B."""


def save_shape(folder: Path, shape: str, longest: int) -> None:
    """A model of Qwen3's shape with random weights, and a tokenizer of words."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    save_model(folder, False, longest)  # its tokenizer is taken
    tiny = shape == "tiny"
    config = AutoConfig.for_model(
        "qwen3", vocab_size=512 if tiny else 151_936, num_key_value_heads=2 if tiny else 8,
        head_dim=16 if tiny else 128, tie_word_embeddings=True, eos_token_id=EOS,
        max_position_embeddings=longest, **SHAPES[shape],
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32 if tiny else torch.bfloat16)
    model.save_pretrained(folder)
    del model
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the case trains in a process of its own


def make_trainer(case: ResultRow) -> Any:
    """A C3POTrainer whose steps train two samples of exactly the case's tokens, in a row each."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, PrinterCallback

    from ringlite_cli.train.rl.config import C3POConfig
    from ringlite_cli.train.rl.trainer import C3POTrainer

    gpu, size = torch.cuda.is_available(), case["tokens"] - PROMPT

    def rollout(prompts: list[Any], trainer: Any) -> ResultRow:
        ids = [trainer.processing_class(prompt)["input_ids"] for prompt in prompts]
        draw = [[3 + (7 * i + j) % (EOS - 3) for i in range(size - 1)] + [EOS] for j in range(len(prompts))]
        return {"prompt_ids": ids, "completion_ids": draw, "logprobs": None}

    args = C3POConfig(
        output_dir=tempfile.mkdtemp(), use_cpu=not gpu, bf16=gpu, max_steps=case["steps"] + WARM, beta=0.0,
        prompts_per_step=1, num_generations=2, token_budget=2 * size, max_completion_length=size,
        per_device_train_batch_size=1, gradient_accumulation_steps=2, gradient_checkpointing=True,
        learning_rate=1e-6, report_to="none", save_strategy="no", disable_tqdm=True, dataloader_pin_memory=gpu,
        model_init_kwargs={"dtype": "bfloat16" if gpu and case["lora"] else "float32"},
        use_liger_kernel=gpu and find_spec("liger_kernel") is not None,  # as a run does
        liger_kernel_config={"cross_entropy": False, "fused_linear_cross_entropy": False},
    )  # fmt: skip
    adapter = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = C3POTrainer(
        model=case["model"],
        reward_funcs=lambda completions, **_: [float(i % 2) for i in range(len(completions))],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [" ".join(f"w{i}" for i in range(PROMPT))] * 64}),
        processing_class=AutoTokenizer.from_pretrained(case["model"], padding_side="left"),
        rollout_func=rollout,
        peft_config=adapter if case["lora"] else None,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def run_case(case: ResultRow) -> ResultRow:
    """Train the steps of a case; return tokens/s, both MFUs (None without a known card) and the peak memory."""
    import torch

    from ringlite_cli.c3po.kernel_choice import in_use
    from ringlite_cli.train.speed import peak_here

    trainer = make_trainer(case)
    clock = StepClock()
    trainer.add_callback(clock.callback())
    trainer._generate_and_score_completions = clock.paused(trainer._generate_and_score_completions)
    trainer.train()
    seconds, peak = statistics.median(clock.seconds[WARM:]), peak_here()
    tokens = 2 * case["tokens"]
    assert trainer.step_stats["tokens_forwarded"] == tokens
    flops = {"ringlite": trainer.step_flops, "prime-rl": tokens * prime_rl_flops(trainer, case["tokens"])}
    gpu = torch.cuda.is_available()
    return {
        "tokens_per_second": tokens / seconds,
        "mfu": {name: 100 * found / seconds / peak if peak else None for name, found in flops.items()},
        "gib": torch.cuda.max_memory_allocated() / 2**30 if gpu else None,
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "kernel": in_use() or "sdpa",
    }


def prime_rl_flops(trainer: Any, length: int) -> float:
    """FLOPs of a token in a sample of this length, as prime-rl counts them."""
    config = trainer.model.config.get_text_config()
    return float(trainer.flops.token + trainer.flops.head + 12 * config.num_hidden_layers * config.hidden_size * length)


def line(case: ResultRow, result: ResultRow) -> str:
    """A row of the table."""
    kind = f"{case['shape']} {'LoRA r16' if case['lora'] else 'full'}"
    if "error" in result:
        return f"| {kind} | – | {case['tokens']:,} | {result['error']} | | | | | | |"
    mfu, speed = PUBLISHED.get((case["shape"], case["tokens"]), (None, None))
    own, theirs = (result["mfu"][name] for name in ("ringlite", "prime-rl"))
    numbers = [
        _shown(own, " %"),
        _shown(theirs, " %"),
        _shown(mfu, " %"),
        _shown(speed, "k"),
        _shown(result["gib"], ""),
    ]
    first = f"| {kind} | {result['kernel']} | {case['tokens']:,} | {result['tokens_per_second'] / 1000:.2f}k |"
    return f"{first} {' | '.join(numbers)} |"


def _shown(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.1f}{unit}" if unit == " %" else f"{value:.2f}{unit}"


def in_own_process(case: ResultRow) -> ResultRow:
    """run_case in a new interpreter; a case that fails has only its error."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    grows = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}  # as a run does
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | grows)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["?"])[-1][:90]}
    result: ResultRow = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SHAPES, help="rows of one shape")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--steps", type=int, default=5, help="counted steps")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run_case(json.loads(options.case))))
        return
    rows = [("tiny", 512, False), ("tiny", 512, True)]
    if not options.quick:
        rows = [("0.6B", 16_384, False), ("0.6B", 65_536, False), ("4B", 16_384, True), ("4B", 65_536, True)]
    rows = [row for row in rows if options.only in (None, row[0])]
    print(
        "| shape | kernel | tokens a row | tokens/s | MFU | MFU as prime-rl counts | prime-rl's MFU | its tokens/s "
        "| peak GiB |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    failed, device = False, ""
    for shape, tokens, lora in rows:
        with tempfile.TemporaryDirectory() as folder:
            save_shape(Path(folder), shape, tokens)
            case = {"shape": shape, "tokens": tokens, "lora": lora, "model": folder, "steps": options.steps}
            result = in_own_process(case)
        print(line(case, result), flush=True)
        failed, device = failed or "error" in result, result.get("device", device)
    print(f"ringlite on {device or '?'}; prime-rl on one H100")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
