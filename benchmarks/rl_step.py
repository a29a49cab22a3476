"""A whole RL step, rollouts by a colocated vLLM: TRL's stock GRPOTrainer beside ringlite, on the same prompts.

usage: python benchmarks/rl_step.py [--model FOLDER] [--prompts 64] [--samples 16] [--tokens 256] [--budget 65536]
                                    [--steps 5] [--mean 60] [--quick]

Both train the same policy on the same arithmetic problems, rewarded by the same verifier, in float32 weights with
bfloat16 autocast on a GPU; each in a process of its own. Stock TRL trains every response in padded batches of
--stock-batch; ringlite trains the budget (C3PO). The first --warm steps of each are not counted. Printed are the
medians, and as the last line `ratio R`: seconds of a stock step over seconds of ringlite's.

--mean 1000: every response ends at a length of its own, the same for both sides: lognormal with about this mean (sigma
0.9), cut at --tokens. Without it a response ends where the policy ends it.
--shape 1.5b --lora 1 --prompts 21 --samples 8 --mean 1200 --only ringlite: an adapter of rank 1 on random weights of
Qwen2.5 1.5B's shape, 168 responses of 1,200 tokens: a step that Hugging Face's blog on async GRPO times on 5 H200s.

--quick: a small model of random weights and short responses, for a CPU, in under 4 minutes.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRL_EXPERIMENTAL_SILENCE="1")

from rollout import small_model

ResultRow = dict[str, Any]
SIDES = ("ringlite", "stock TRL")


def main() -> None:
    options = _options()
    if options.side:
        if options.mean:
            force_lengths(options.mean, options.tokens, options.prompts * options.samples)
        print(json.dumps(_ours(options) if options.side == "ringlite" else _stock(options)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model or str(_made(Path(scratch) / "model", options.shape))
        results = {side: _in_process(side, model, options) for side in options.only or SIDES}
    print(f"\n{options.prompts} prompts x {options.samples} responses of at most {options.tokens} tokens")
    for side, steps in results.items():
        print(
            f"{side:<10} {_median(steps, 'seconds'):>8.2f} s a step, {_median(steps, 'tokens'):>8,.0f} tokens generated"
        )
    if len(results) == len(SIDES):
        print(f"ratio {_median(results['stock TRL'], 'seconds') / _median(results['ringlite'], 'seconds'):.2f}")


def _made(folder: Path, shape: str | None) -> Path:
    """Random weights: of a shape that lora_memory.py names, or of a small model."""
    if shape is None:
        return small_model(folder)
    from lora_memory import SHAPES, make_model

    return make_model(folder, SHAPES[shape])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model folder; default: a small one with random weights")
    parser.add_argument("--shape", help="random weights of this shape of lora_memory.py, instead of a model")
    parser.add_argument("--lora", type=int, default=0, help="rank of an adapter that is trained instead of the weights")
    parser.add_argument("--only", nargs="+", choices=SIDES)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--budget", type=int, default=65536)
    parser.add_argument("--steps", type=int, default=5, help="counted ones")
    parser.add_argument("--warm", type=int, default=2, help="steps before them")
    parser.add_argument("--mean", type=int, default=0, help="mean length of responses, forced")
    parser.add_argument("--stock-batch", type=int, default=64, help="responses of a padded batch of stock TRL")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.prompts, options.samples, options.tokens, options.budget, options.steps = 8, 8, 48, 2048, 5
        options.stock_batch = 16
    return options


def _in_process(side: str, model: str, options: argparse.Namespace) -> list[ResultRow]:
    """Counted steps of one side; what it says goes to stderr."""
    sizes = ("prompts", "samples", "tokens", "budget", "steps", "warm", "mean", "lora", "stock_batch")
    given = [part for name in sizes for part in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]
    command = [sys.executable, __file__, "--side", side, "--model", model, *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{side} failed with exit code {done.returncode}")
    steps: list[ResultRow] = json.loads(done.stdout.splitlines()[-1])[options.warm :]
    print(f"{side}: {[round(step['seconds'], 2) for step in steps]} s", flush=True)
    return steps


def force_lengths(mean: int, longest: int, responses: int) -> None:
    """Let vLLM end every response of a step at its own length, and at no end token.

    Responses are told from other requests by their limit, `longest`. Both sides get the lengths of one list, in turn,
    whether they ask for a response a request or for several.
    """
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.engine.parallel_sampling import ParentRequest

    rng, sigma = random.Random(f"lengths-{mean}"), 0.9
    center = math.log(mean) - sigma**2 / 2
    lengths = [min(longest, max(8, int(rng.lognormvariate(center, sigma)))) for _ in range(responses)]
    given = [0]

    def forced(params: Any) -> Any:
        if params.max_tokens != longest:
            return params
        own = params.clone()
        own.max_tokens, own.ignore_eos = lengths[given[0] % responses], True
        given[0] += 1
        return own

    add, child = LLMEngine.add_request, ParentRequest._get_child_sampling_params

    def add_request(self: Any, request_id: Any, prompt: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        params = forced(params) if getattr(params, "n", 0) == 1 else params
        return add(self, request_id, prompt, params, *args, **kwargs)

    LLMEngine.add_request = add_request
    ParentRequest._get_child_sampling_params = lambda self, index: forced(child(self, index))


def _ours(options: argparse.Namespace) -> list[ResultRow]:
    from ringlite_cli.recipe.rl_settings import RlSettings
    from ringlite_cli.train.rl.run import Hooks, ModelOptions, run_rl

    with _verifiers() as verify, tempfile.TemporaryDirectory() as scratch:
        rows: list[ResultRow] = []
        run_rl(
            Path(options.model),
            _problems(options),
            verify,
            Path(scratch),
            RlSettings.made(
                prompts_per_step=options.prompts,
                token_budget=options.budget,
                sync_tolerance=0.5,
                guard=None,
                lora={"r": options.lora, "lora_alpha": 2 * options.lora} if options.lora else None,
                trl={**_shared(options), "max_steps": options.steps + options.warm},
            ),
            model=ModelOptions("bfloat16" if _cuda() else "float32", prompt_suffix={}),
            hooks=Hooks(rows.append),
        )
    for row in rows:
        print({name: row[name] for name in _PARTS if name in row}, file=sys.stderr)
    return [{"seconds": row["step_seconds"], "tokens": row["tokens_generated"]} for row in rows]


_PARTS = ("rollout_seconds", "generation_seconds", "sync_seconds", "reward_seconds", "update_seconds", "step_seconds")


def _stock(options: argparse.Namespace) -> list[ResultRow]:
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from ringlite_cli.engine import prepare_environment
    from ringlite_cli.problems import chat_messages
    from ringlite_cli.train.devices import on_one_gpu

    prepare_environment(cuda=_cuda())
    responses = options.prompts * options.samples
    steps: list[ResultRow] = []
    generated = [0]

    class Clock(TrainerCallback):
        last = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.last = self.last or time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            now = time.perf_counter()
            steps.append({"seconds": now - self.last, "tokens": generated[0]})
            print("stock TRL", steps[-1], file=sys.stderr, flush=True)  # there if the run is cut off
            self.last, generated[0] = now, 0

    with _verifiers() as verify, tempfile.TemporaryDirectory() as scratch:
        problems = {problem.id: problem for problem in _problems(options)}

        def reward(completions: list[Any], problem_id: list[str], completion_ids: list[Any], **_: Any) -> list[Any]:
            generated[0] += sum(map(len, completion_ids))
            texts = [completion[-1]["content"] for completion in completions]
            pairs = [(problems[name], text) for name, text in zip(problem_id, texts, strict=True)]
            return [verdict.reward for verdict in verify(pairs)]

        args = on_one_gpu(
            GRPOConfig(
                output_dir=scratch,
                per_device_train_batch_size=options.stock_batch,
                gradient_accumulation_steps=responses // options.stock_batch,
                max_steps=options.steps + options.warm,
                use_cpu=not _cuda(),
                bf16=_cuda(),
                report_to="none",
                disable_tqdm=True,
                save_strategy="no",
                **_shared(options),
            )
        )
        rows = [{"prompt": chat_messages(p, {}), "problem_id": p.id} for p in problems.values()]
        with _stock_engine(args):
            trainer = GRPOTrainer(
                options.model,
                reward_funcs=reward,
                args=args,
                train_dataset=Dataset.from_list(rows),
                processing_class=AutoTokenizer.from_pretrained(options.model, padding_side="left"),
                callbacks=[Clock()],
                peft_config=_adapter(options.lora),
            )
        trainer.train()
    return steps


def _adapter(rank: int) -> Any:
    """The LoRA that ringlite trains too; None where all weights are trained."""
    from peft import LoraConfig

    kind = {"target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    return LoraConfig(r=rank, lora_alpha=2 * rank, **kind) if rank else None


def _stock_engine(args: Any) -> Any:
    """On a CPU vLLM needs settings that TRL does not make; on a GPU stock TRL is left as it is."""
    if _cuda():
        return nullcontext()
    from ringlite_cli.train.engine.start import Watch
    from ringlite_cli.train.engine.watched import watched_generation

    return watched_generation(Watch(sync_tolerance=0.5), args)


def _shared(options: argparse.Namespace) -> ResultRow:
    """GRPOConfig fields of both sides: the recipe smollm2-135m's."""
    return {
        "num_generations": options.samples,
        "max_completion_length": options.tokens,
        "learning_rate": 1e-6,
        "beta": 1e-3,
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": 0.3,
        "vllm_max_model_length": max(2048 if _cuda() else 512, options.tokens + 256),
        **({} if options.lora else {"model_init_kwargs": {"dtype": "float32"}}),
    }


def _problems(options: argparse.Namespace) -> list[Any]:
    """Enough arithmetic problems for every step, each asked once."""
    from ringlite_cli.data.generators import GENERATORS

    count = (options.steps + options.warm) * options.prompts
    return list(GENERATORS["arithmetic"].generate(count, 17, options={"operands": 4, "largest": 999}))


def _verifiers() -> Any:
    from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings

    return Verifiers(VerifierSettings(workers=min(8, os.cpu_count() or 1)))


def _cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _median(steps: list[ResultRow], name: str) -> float:
    return statistics.median(step[name] for step in steps)


if __name__ == "__main__":
    main()
