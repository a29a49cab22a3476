"""The parts of flagship.sh: Ling-lite-1.5's shape through SFT and RL on one node, by the recipe ring-lite-8gpu.

    python benchmarks/flagship.py [--rehearse | --layers 4] make | sft | rl-wait N | rl-carry N | kill | resume | ...

Weights are random, made a layer at a time; no rank holds them all but the one that reads them for the others. Lengths
of responses are forced where vLLM draws: lognormal (sigma 0.9), cut at the longest, of a mean that fills the recipe's
budget (`--mean`). --rehearse: a toy mixture of the same architecture on 2 CPU ranks, without vLLM unless --vllm.
--layers 4: a slice of so many layers on the GPUs that are there, whose prompts of a step are 2 a GPU as on 8, and whose
engine is shared by all of them.
"""

import argparse
import json
import math
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRL_EXPERIMENTAL_SILENCE="1")
sys.path.insert(0, str(Path(__file__).parent))

import rollout_carry as forced
import sharded
from sharded import ResultRow

RECIPE, CONFIG = "ring-lite-8gpu", "fsdp2-8gpu"
PARTS = ("make", "sft", "rl-wait", "rl-carry", "kill", "resume", "read", "table")
TOY = sharded.TINY | {"head_dim": 32, "vocab_size": 400, "max_position_embeddings": 1024, "num_hidden_layers": 3}
DENSE = {"first_k_dense_replace": TOY["num_hidden_layers"]}
"""Without experts: vLLM takes new ones on a GPU alone."""
SMALL_SFT = {"max_length": 256}
SMALL_RL = {"num_generations": 4, "max_completion_length": 48}
SMALL = {"prompts_per_step": 4, "token_budget": 256}
MEAN = 12_800
"""Mean length of the paper's responses (Fig. 7), which with 32 responses a rank fills its budget of 409,600 tokens."""
KILLED_IN = 3
"""The step in which a rank is killed; the one before it leaves a checkpoint."""
FACTS = ("sft", "rl-wait", "rl-carry", "resume")


def main() -> None:
    options = _options()
    if options.rank:
        _rank(options)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.part == "table":
        print("\n".join(table(options.folder)))
        return
    started = time.perf_counter()
    code = {"make": _make, "read": _read}.get(options.part, _train)(options)
    print(
        f"{options.part}: {'done' if not code else f'exit code {code}'}, {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    sys.exit(code)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("steps", nargs="?", type=int, default=3, help="until which step RL goes")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--vllm", action="store_true", help="with --rehearse: vLLM draws, on the CPU")
    parser.add_argument("--layers", type=int, help="a slice of so many layers, on fewer GPUs")
    parser.add_argument("--mean", type=float, help="mean length of responses")
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("FLAGSHIP", "flagship-run")))
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


# the weights


def _make(options: argparse.Namespace) -> int:
    """Write random weights as a checkpoint of a file a layer: no more than a layer is in memory."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    from ringlite_cli.models import register
    from ringlite_cli.models.bailing_moe.checkpoint import published_shapes
    from ringlite_cli.models.sizes import active_parameters

    register()
    base = options.folder / "base"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    tokenizer = _tokenizer(options.rehearse)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    fields = (TOY | (DENSE if options.vllm else {})) if options.rehearse else {}
    fields |= {"num_hidden_layers": options.layers} if options.layers else {}
    config = AutoConfig.for_model("bailing_moe", **fields, **ends, dtype="bfloat16")
    config.architectures = ["BailingMoeForCausalLM"]
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    files: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in published_shapes(config).items():
        part = name.split(".")[2] if name.startswith("model.layers.") else "ends"
        files.setdefault(f"model-{part}.safetensors", {})[name] = shape
    device = "cuda" if torch.cuda.is_available() else "cpu"
    draw = torch.Generator(device).manual_seed(17)
    index: dict[str, str] = {}
    for file, shapes in files.items():
        save_file({n: _drawn(n, s, config, draw, device) for n, s in shapes.items()}, base / file, {"format": "pt"})
        index |= dict.fromkeys(shapes, file)
    (base / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    config.save_pretrained(base)
    GenerationConfig(**ends).save_pretrained(base)
    tokenizer.save_pretrained(base)
    size = sum(path.stat().st_size for path in base.iterdir()) / 1e9
    facts = {"parameters": network.num_parameters(), "active": active_parameters(network)}
    (options.folder / "model.json").write_text(json.dumps(facts))
    print(f"{facts['parameters']:,} parameters, {facts['active']:,} active, {size:.1f} GB in {len(files)} files")
    return 0


def _drawn(name: str, shape: tuple[int, ...], config: Any, draw: Any, device: str) -> Any:
    import torch

    if name.endswith("norm.weight"):
        return torch.ones(shape, dtype=torch.bfloat16)
    values = torch.empty(shape, dtype=torch.bfloat16, device=device)
    return values.normal_(0.0, config.initializer_range, generator=draw).cpu()


def _tokenizer(rehearse: bool) -> Any:
    if not rehearse:
        from ringlite_cli.recipe.load import load_recipe
        from ringlite_cli.train.base_model import make_tokenizer

        return make_tokenizer(load_recipe("smollm2-135m").model.model_dump(), [])[0]
    from ringlite_cli.data.generators import GENERATORS
    from ringlite_cli.models.new_model import train_tokenizer

    return train_tokenizer([problem.prompt for problem in GENERATORS["arithmetic"].generate(400, 17)], 400)


# training, in ranks


def _train(options: argparse.Namespace) -> int:
    """Launch a part's ranks; print what they said where they failed."""
    import torch

    logs = options.folder / "logs"
    logs.mkdir(exist_ok=True)
    words = ["--rank", options.part, str(options.steps), "--folder", str(options.folder)]
    words += [f"--{name}" for name in ("rehearse", "vllm") if getattr(options, name)]
    words += [
        word for name in ("mean", "layers") if (given := getattr(options, name)) for word in (f"--{name}", str(given))
    ]
    log, seconds = logs / f"{options.part}.log", float(os.environ.get("SECONDS_EACH", "570"))
    ranks = 2 if options.rehearse else torch.cuda.device_count()
    code = sharded.launch(Path(__file__), words, log, ranks=ranks, seconds=seconds, config=CONFIG)
    said = log.read_text(errors="replace").splitlines()
    if options.part == "kill":
        whole = (options.folder / "rl-wait" / "checkpoints" / f"checkpoint-{KILLED_IN - 1}").is_dir()
        there = "there" if whole else "NOT there"
        print(f"  the ranks ended with {code}; the checkpoint of step {KILLED_IN - 1} is {there}")
        return 0 if code and whole else 1
    if code:
        told = [line for line in said if "Error" in line and "ChildFailedError" not in line]
        print("   ", "\n    ".join(told[-3:] or said[-12:]))
    return code


def _rank(options: argparse.Namespace) -> None:
    """One rank of a part: train, and write down what was seen."""
    if options.rehearse:
        sharded.shard_on_cpu()
    from lora_memory import Meter

    rows: list[ResultRow] = []
    seen: ResultRow = {}
    meter = Meter()
    if options.part == "sft":
        _sft(options, rows, seen, meter)
    else:
        _rl(options, rows, seen, meter)
    meter.end()
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    facts = seen | {"rows": rows, "peaks": meter.peaks, "host": host, "torch": _torch_peaks()}
    place = options.folder / f"{options.part}.rank{os.environ['RANK']}.json"
    if options.part.startswith("rl") and place.exists():  # of steps that an earlier call made
        facts["rows"] = json.loads(place.read_text())["rows"] + rows
    place.write_text(json.dumps(facts))


def _torch_peaks() -> list[int]:
    """Return the largest bytes that torch gave out in this process, and that it held."""
    import torch

    if not torch.cuda.is_available():
        return [0, 0]
    return [torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()]


def _recipe(options: argparse.Namespace) -> Any:
    from ringlite_cli.recipe.load import load_recipe

    recipe = load_recipe(RECIPE)
    return recipe, "float32" if options.rehearse else recipe.model.dtype


def _sft(options: argparse.Namespace, rows: list[ResultRow], seen: ResultRow, meter: Any) -> None:
    from ringlite_cli.train.sft.run import run_sft

    recipe, dtype = _recipe(options)
    section, base = recipe.stages["sft"], options.folder / "base"
    trl = section.trl | {"max_steps": 10, "gradient_accumulation_steps": 1, **_optimizer()}
    trl |= SMALL_SFT if options.rehearse else {}

    def look(trainer: Any) -> None:
        sharded.look_at_units(trainer, seen)
        meter.phase = "update"

    def note(row: ResultRow) -> None:
        before = rows[-1]["tokens_seen"] if rows else 0
        rows.append(row | {"tokens": row["tokens_seen"] - before})

    sharded.watch_sft(look)
    seen["plan"] = _plan(options, section.model_copy(update={"trl": trl}))
    traces = _traces(base, int(trl["max_length"]), 12 * int(os.environ["WORLD_SIZE"]))
    run_sft(base, traces, options.folder / "sft", trl=trl, seed=recipe.seed, dtype=dtype, on_step=note)


def _traces(base: Path, length: int, count: int) -> list[Any]:
    """Problems whose traces nearly fill a row each."""
    from transformers import AutoTokenizer

    from ringlite_cli.problems import Problem

    tokenizer = AutoTokenizer.from_pretrained(base)
    problems = []
    for number in range(count):
        words = " ".join(str((number + 7 * i) % 97) for i in range(length))
        trace = tokenizer.decode(tokenizer(words)["input_ids"][: length - max(64, length // 16)])
        problems.append(Problem(id=f"t{number}", domain="math", prompt=f"{number} + 1 =", trace=trace))
    return problems


def _rl(options: argparse.Namespace, rows: list[ResultRow], seen: ResultRow, meter: Any) -> None:
    from ringlite_cli.problems import Problem
    from ringlite_cli.train.engine.watched import WatchedGeneration
    from ringlite_cli.train.rl.run import Hooks, ModelOptions, run_rl
    from ringlite_cli.train.rl.trainer import C3POTrainer

    recipe, dtype = _recipe(options)
    section = _rl_section(options, recipe.stages["rl-math"])
    seen["plan"] = _plan(options, section)
    if section.trl["use_vllm"]:
        _force(options, section)
        for name, phase in (("_init_vllm", "engine start"), ("sync_weights", "sync"), ("generate", "rollout")):
            setattr(WatchedGeneration, name, meter.during(phase, getattr(WatchedGeneration, name)))
    else:
        C3POTrainer._roll_out = meter.during("rollout", C3POTrainer._roll_out)  # type: ignore[method-assign]
    sharded.look_at_units(C3POTrainer, seen)
    _tell_phase(C3POTrainer, meter)
    if options.part == "kill":
        _die(C3POTrainer)
    problems = [Problem(f"p{i}", "math", f"{i} + {i + 1} =", answer="1") for i in range(64)]

    def note(row: ResultRow) -> None:
        rows.append(row | {"tokens": row["tokens_trained"]})

    out = options.folder / ("rl-carry" if options.part == "rl-carry" else "rl-wait")
    model = ModelOptions(dtype, prompt_suffix={})
    run_rl(_start(options.folder), problems, _verify, out, section, seed=recipe.seed, model=model, hooks=Hooks(note))


def _rl_section(options: argparse.Namespace, section: Any) -> Any:
    steps = {"kill": KILLED_IN, "resume": KILLED_IN}.get(options.part, options.steps)
    trl = section.trl | {"max_steps": steps, "save_steps": steps, **_optimizer()}
    more: ResultRow = {"sync_tolerance": 1.0, "guard": None}
    if options.rehearse:
        trl |= SMALL_RL | {
            "use_vllm": options.vllm,
            "vllm_tensor_parallel_size": 2,
            "vllm_enable_sleep_mode": False,
            "vllm_max_model_length": 128,
        }
        more |= SMALL | ({"router_balance_coef": 0.0, "router_z_loss_coef": 0.0} if options.vllm else {})
    elif options.layers:
        ranks = int(os.environ["WORLD_SIZE"])
        more["prompts_per_step"], trl["vllm_tensor_parallel_size"] = 2 * ranks, ranks
    if options.part == "rl-carry":
        more["rollouts"] = type(section.rollouts)(mode="carry")
        trl["vllm_tensor_parallel_size"] = 1  # an engine beside each rank, with a pool of its own
    return section.model_copy(update={**more, "trl": trl})


def _optimizer() -> ResultRow:
    named = os.environ.get("OPTIM")
    return {"optim": named} if named else {}


def _force(options: argparse.Namespace, section: Any) -> None:
    """Force lengths of responses whose mean fills the budget; each engine's are its own."""
    longest = section.max_completion_length
    forced.GROUP = section.num_generations
    mean = options.mean or min(MEAN, longest * MEAN / 23_552)
    low, high = 1 / 64, 1.0
    for _ in range(12):
        forced.MEDIAN = (low + high) / 2
        low, high = (forced.MEDIAN, high) if forced.mean_length(longest) < mean else (low, forced.MEDIAN)
    engine = int(os.environ["RANK"]) // int(section.trl_value("vllm_tensor_parallel_size") or 1)
    forced.force_lengths(longest, first=engine * 1_000_000 * forced.GROUP)


def _tell_phase(trainer: Any, meter: Any) -> None:
    plain = trainer.train

    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        meter.phase = "update"
        return plain(self, *args, **kwargs)

    trainer.train = train


def _die(trainer: Any) -> None:
    """Kill the last rank in its first row of the step."""
    plain = trainer.training_step

    def training_step(self: Any, *args: Any) -> Any:
        if self.state.global_step == KILLED_IN - 1 and os.environ["RANK"] == str(int(os.environ["WORLD_SIZE"]) - 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, *args)

    trainer.training_step = training_step


def _start(folder: Path) -> Path:
    """Return the policy that RL starts from: SFT's last checkpoint, or the base."""
    kept = folder / "sft" / "checkpoints.json"
    return folder / "sft" / json.loads(kept.read_text())[-1]["path"] if kept.exists() else folder / "base"


def _verify(pairs: Any) -> list[Any]:
    from ringlite_cli.problems import Verdict

    return [Verdict("correct" if i % 3 else "wrong", float(bool(i % 3))) for i, _ in enumerate(pairs)]


def _plan(options: argparse.Namespace, section: Any) -> ResultRow:
    """Return what the plan says of a GPU of this machine, in bytes."""
    import torch

    from ringlite_cli.recipe.schema import Model
    from ringlite_cli.stages.parts.memory import Machine, foreseen, shape_for

    model = Model(path=str(options.folder / "base"), dtype="float32" if options.rehearse else "bfloat16")
    shape = shape_for(model, section)
    assert shape is not None
    memory = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 80 * 2**30
    layout, fit = foreseen(model, section, shape, Machine(int(os.environ["WORLD_SIZE"]), memory))
    return {
        "update": fit.in_update,
        "rollout": fit.in_rollout,
        "parts": fit.held | fit.update,
        "row": layout.row_tokens,
    }


# the policy


def _read(options: argparse.Namespace) -> int:
    """Let vLLM load the policy and draw from it; look at the log-probabilities."""
    import torch

    from ringlite_cli.engine import prepare_environment
    from ringlite_cli.models import register

    cuda = torch.cuda.is_available()
    prepare_environment(cuda=cuda)
    register()
    from vllm import LLM, SamplingParams

    folder = options.folder / "rl-wait" / "policy"
    started = time.perf_counter()
    settings: ResultRow = {} if cuda else {"dtype": "float32", "enforce_eager": True}
    llm = LLM(str(folder), max_model_len=4096 if cuda else 256, **settings)
    ready = time.perf_counter()
    params = SamplingParams(max_tokens=64, ignore_eos=True, detokenize=False, logprobs=0, seed=17)
    drawn = llm.generate([{"prompt_token_ids": [5 + i, 6, 7]} for i in range(16)], params, use_tqdm=False)
    found = [entry[token].logprob for one in drawn for entry, token in zip(
        one.outputs[0].logprobs, one.outputs[0].token_ids, strict=True)]  # fmt: skip
    sound = len(found) == 16 * 64 and all(math.isfinite(x) and x <= 0 for x in found)
    mean, word = sum(found) / max(1, len(found)), "sound" if sound else "NOT sound"
    print(f"  loaded in {ready - started:.0f} s; mean log-probability {mean:.3f}, {word}")
    llm.llm_engine.engine_core.shutdown()
    return 0 if sound else 1


# what is printed


def table(folder: Path) -> list[str]:
    """Return the parts' numbers: speed, shares of a step, memory beside the plan."""
    active = json.loads((folder / "model.json").read_text())["active"]
    lines = [
        "| part, step | seconds | drawing | sync | verifying | update | trained tokens/s and GPU | MFU |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    memory = [
        "| part | plan, drawing / update, GiB | each GPU, GiB | torch gave out / held, GiB | host, a rank, GiB |",
        "|---|---:|---|---:|---:|",
    ]
    for part in FACTS:
        facts = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{part}.rank*.json"))]
        if facts:
            lines += [_step(part, row, len(facts), active) for row in facts[0]["rows"]]
            memory.append(_memory(part, facts))
    return [*lines, "", *memory]


def _step(part: str, row: ResultRow, ranks: int, active: int) -> str:
    """Return a step's line. MFU: 6 x active parameters x tokens of the update over the peak, attention not counted."""
    whole = row["step_seconds"]
    update = row.get("update_seconds") or whole
    shares = [row.get("generation_seconds"), row.get("sync_seconds"), row.get("reward_seconds"), update]
    shown = " | ".join("" if x is None else f"{x:.1f} ({x / whole:.0%})" for x in shares)
    speed, mfu = row["tokens"] / whole / ranks, 6 * active * row["tokens"] / update / ranks / sharded.PEAK
    return f"| {part} {row['step']} | {whole:.1f} | {shown} | {speed:,.0f} | {mfu:.1%} |"


def _memory(part: str, facts: list[ResultRow]) -> str:
    plan = facts[0]["plan"]
    each = ", ".join(
        "/".join(f"{max((fact['peaks'].get(p, 0) for p in phases), default=0) / 2**30:.1f}" for phases in PHASES)
        for fact in facts
    )
    host = max(fact["host"] for fact in facts) / 2**30
    given, held = (max(fact["torch"][i] for fact in facts) / 2**30 for i in range(2))
    planned = f"{plan['rollout'] / 2**30:.1f} / {plan['update'] / 2**30:.1f}"
    return f"| {part} | {planned} | {each} | {given:.1f} / {held:.1f} | {host:.1f} |"


PHASES = (("engine start", "sync", "rollout"), ("update",))


if __name__ == "__main__":
    main()
