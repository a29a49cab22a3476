"""FSDP2 on the GPUs of a machine: SFT and RL of a large shape with random weights, a kill, a resume.

    python benchmarks/sharded.py                     1.7B of Qwen3's shape, then 4 layers of Ling-lite's, on all GPUs
    python benchmarks/sharded.py --tiny              tiny shapes on two CPU ranks, without vLLM
    python benchmarks/sharded.py --only qwen3-1.7b   one shape
    python benchmarks/sharded.py --phases rl         one phase; without `resume` no checkpoint is written on the way

Each shape gets 3 SFT steps, then 3 RL steps with a colocated vLLM (random weights hardly end a response: all have the
longest length), of which the last is made again by a run that goes on from a checkpoint. Printed per phase: seconds of
the steps, tokens a second and GPU, seconds of a weight sync, the largest memory of each GPU, and MFU of the update: 6 x
the parameters that a token passes x tokens, over the H100's 989 TFLOP/s (bfloat16, dense). Attention is not counted.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRL_EXPERIMENTAL_SILENCE="1")
ROOT = Path(__file__).parents[1]
PEAK = 989e12
ROW = "row of metrics: "
ResultRow = dict[str, Any]
SHAPES: dict[str, ResultRow] = {
    "qwen3-1.7b": {
        "model_type": "qwen3", "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True,
        "max_position_embeddings": 32768,
    },
    "ling-4-layers": {"model_type": "bailing_moe", "num_hidden_layers": 4},
}  # fmt: skip
TINY: ResultRow = {
    "hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2,
}  # fmt: skip
LARGE = {"vocabulary": 32_000, "prompts": 16, "samples": 8, "tokens": 1024, "budget": 65_536, "rows": 8, "length": 8192}
SMALL = {"vocabulary": 400, "prompts": 4, "samples": 4, "tokens": 16, "budget": 128, "rows": 2, "length": 128}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", choices=SHAPES)
    parser.add_argument("--phases", nargs="+", default=["sft", "rl", "resume"])
    parser.add_argument("--seconds", type=float, default=420.0, help="that a phase may take")
    parser.add_argument("--logs", type=Path, default=Path("sharded-logs"))
    parser.add_argument("--rank", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        _rank(*options.rank, tiny=options.tiny)
        return
    options.logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in [options.only] if options.only else SHAPES:
            _shape(name, Path(scratch) / name, options)


def _shape(name: str, folder: Path, options: argparse.Namespace) -> None:
    started = time.perf_counter()
    parameters, active = _make(name, folder / "base", options.tiny)
    print(f"\n{name}: {parameters:,} parameters, {active:,} active; made in {time.perf_counter() - started:.0f} s")
    for phase in options.phases:
        if phase == "resume":
            shutil.rmtree(folder / "rl" / "policy", ignore_errors=True)
            shutil.rmtree(folder / "rl" / "checkpoints" / "checkpoint-3", ignore_errors=True)
        started = time.perf_counter()
        log = options.logs / f"{name}-{phase}.log"
        code = _launch(phase, folder, log, options, saves="resume" in options.phases)
        print(f"  {phase:<7} rc {code}, {time.perf_counter() - started:.0f} s in all", flush=True)
        if code:
            said = log.read_text(errors="replace").splitlines()
            print("   ", "\n    ".join([line for line in said if line.startswith(ROW)] + said[-6:]))
        else:
            _report(folder, phase, active)


def _launch(phase: str, folder: Path, log: Path, options: argparse.Namespace, *, saves: bool) -> int:
    import torch

    when = "saves" if saves else "once"
    arguments = [*(["--tiny"] if options.tiny else []), "--rank", phase, str(folder), when]
    ranks = 2 if options.tiny else torch.cuda.device_count()
    return launch(Path(__file__), arguments, log, ranks=ranks, seconds=options.seconds)


def launch(program: Path, arguments: list[str], log: Path, *, ranks: int, seconds: float, config: str = "fsdp2") -> int:
    """Run a program on so many ranks under a shipped launch file; return its exit code, 124 past the seconds.

    config: the name of the launch file. Without a GPU the ranks are processes of the CPU.
    """
    import torch

    from ringlite_cli.shipped import launch_file

    shipped = launch_file(config).read_text(encoding="utf-8")
    here = f"num_processes: {ranks}\nmain_process_port: 0" + ("" if torch.cuda.is_available() else "\nuse_cpu: true")
    file = log.with_suffix(".yaml")
    file.write_text(shipped.replace("num_processes: 8", here), encoding="utf-8")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file), str(program), *arguments]
    with log.open("w") as said:
        launcher = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            return launcher.wait(seconds)
        except subprocess.TimeoutExpired:
            launcher.terminate()  # it ends its ranks, which would hold the GPUs
            launcher.wait()
            return 124


def _report(folder: Path, phase: str, active: int) -> None:
    facts = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{phase}.rank*.json"))]
    ranks, rows = len(facts), facts[0]["rows"]
    memory = " ".join(f"{fact['memory'] / 2**30:.1f}" for fact in facts)
    for row in rows:
        seconds = row.get("update_seconds") or row["step_seconds"]
        tokens = row["tokens"]
        line = f"    step {row['step']}: {row['step_seconds']:.2f} s, loss {row['loss']:.4f}"
        if row.get("generation_seconds") is not None:
            line += f", generation {row['generation_seconds']:.2f} s"
            line += f", sync {row['sync_seconds']:.2f} s of {row['sync_bytes'] / 2**30:.2f} GiB"
        rate = tokens / seconds / ranks
        print(f"{line}, {rate:,.0f} tokens/s and GPU in the update, MFU {6 * active * rate / PEAK:.1%}")
    print(f"    {facts[0]['units']} units of {facts[0]['kinds']}, largest memory GiB: {memory}")


def _make(name: str, folder: Path, tiny: bool) -> tuple[int, int]:
    """Write a model with random weights, and its tokenizer; return its parameters, all and active."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from ringlite_cli.data.generators import GENERATORS
    from ringlite_cli.models import register
    from ringlite_cli.models.new_model import train_tokenizer
    from ringlite_cli.models.sizes import active_parameters

    register()
    size = SMALL if tiny else LARGE
    texts = [problem.prompt for problem in GENERATORS["arithmetic"].generate(400, 17)]
    tokenizer = train_tokenizer(texts, 400)
    fields = SHAPES[name] | (TINY if tiny else {}) | {"vocab_size": size["vocabulary"]}
    kind = fields.pop("model_type")
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(17)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **fields, **ends), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.num_parameters(), active_parameters(model)


def _rank(phase: str, folder: str, when: str, *, tiny: bool) -> None:
    """One rank: train, and write down what it saw. when: "saves" for a checkpoint to go on from, or "once"."""
    if tiny:
        shard_on_cpu()
    import torch

    size, base = (SMALL if tiny else LARGE), Path(folder)
    rows: list[ResultRow] = []
    seen: ResultRow = {}

    def look(trainer: Any) -> None:
        look_at_units(trainer, seen)

    {"sft": _sft}.get(phase, _rl)(base, size, rows, look, vllm=not tiny, saves=when == "saves")
    memory = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0
    rank = int(os.environ["RANK"])
    (base / f"{phase}.rank{rank}.json").write_text(json.dumps(seen | {"rows": rows, "memory": memory}))


def shard_on_cpu() -> None:
    """Let accelerate shard on CPU ranks."""
    sys.path.insert(0, str(ROOT / "tests"))
    import fsdp_on_cpu

    fsdp_on_cpu.allow()


def look_at_units(trainer: Any, seen: ResultRow) -> None:
    """Have a trainer's class note how its model is shared out, in `seen`."""
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

    plain = trainer.training_step

    def training_step(self: Any, model: Any, *more: Any) -> Any:
        seen["units"] = sum(isinstance(m, FSDPModule) for m in model.modules())
        seen["kinds"] = "DTensor" if all(isinstance(p, DTensor) for p in model.parameters()) else "other tensors"
        return plain(self, model, *more)

    trainer.training_step = training_step


def _problems(count: int, tokens: int) -> list[Any]:
    from ringlite_cli.problems import Problem

    return [
        Problem(
            id=f"p{i}", domain="math", prompt=f"{i} + {i + 1} =", trace=" ".join(str(i * j) for j in range(tokens // 8))
        )
        for i in range(count)
    ]


def _sft(base: Path, size: ResultRow, rows: list[ResultRow], look: Any, *, vllm: bool, saves: bool) -> None:
    from ringlite_cli.train.sft import run as stage

    watch_sft(look)
    trl = {
        "max_length": size["length"], "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2,
        "max_steps": 3, "learning_rate": 1e-5, "gradient_checkpointing": vllm,
    }  # fmt: skip

    def note(row: ResultRow) -> None:
        before = rows[-1]["seen"] if rows else 0
        rows.append(row | {"seen": row["tokens_seen"], "tokens": row["tokens_seen"] - before})

    stage.run_sft(base / "base", _problems(400, size["length"]), base / "sft", trl=trl, seed=3, on_step=note)


def watch_sft(look: Any) -> None:
    """Show the class of SFT's trainer to `look` when it is made."""
    from ringlite_cli.train.sft import run as stage

    made = stage._counting_trainer

    def watched() -> Any:
        trainer = made()
        look(trainer)
        return trainer

    stage._counting_trainer = watched


def _rl(base: Path, size: ResultRow, rows: list[ResultRow], look: Any, *, vllm: bool, saves: bool) -> None:
    from ringlite_cli.problems import Verdict
    from ringlite_cli.recipe.rl_settings import RlSettings
    from ringlite_cli.train.rl.run import Hooks, ModelOptions, run_rl
    from ringlite_cli.train.rl.trainer import C3POTrainer

    look(C3POTrainer)
    trl: ResultRow = {
        "max_steps": 3, "num_generations": size["samples"], "max_completion_length": size["tokens"],
        "save_steps": 2 if saves else 100, "learning_rate": 1e-5, "beta": 0.01,
    }  # fmt: skip
    if vllm:
        trl |= {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_enable_sleep_mode": True,
            "gradient_checkpointing": True,
        }
        trl |= {"vllm_gpu_memory_utilization": 0.4, "vllm_max_model_length": 4096}
    settings = RlSettings.made(
        guard=None, prompts_per_step=size["prompts"], token_budget=size["budget"], token_budget_scope="global",
        row_tokens=max(size["length"], size["tokens"] + 64), sync_tolerance=1.0, trl=trl,
    )  # fmt: skip

    def verify(pairs: Any) -> list[Verdict]:
        return [Verdict("x", float(len(text) % 2)) for _, text in pairs]

    def note(row: ResultRow) -> None:
        rows.append(row | {"tokens": row["tokens_trained"]})
        print(ROW + json.dumps(row), flush=True)  # read where the phase runs out of time while it writes weights

    run_rl(
        base / "base", _problems(64, 64), verify, base / "rl", settings,
        seed=5, model=ModelOptions(None, prompt_suffix={}), hooks=Hooks(note),
    )  # fmt: skip


if __name__ == "__main__":
    main()
