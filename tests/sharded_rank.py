"""The program of one rank: several short trainings one after the other (FILE of jobs, as JSON).

A job is {kind: sft | reward-model | rl | forget, out, policy, options}. What the passes of a job work on is written
beside its folder.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fsdp_on_cpu

fsdp_on_cpu.allow()

import torch  # noqa: E402
from rl_runs import train  # noqa: E402

from ringlite_cli.problems import Problem, Verdict  # noqa: E402
from ringlite_cli.recipe.guard import Guard  # noqa: E402

TRACES = [
    Problem(
        id=f"p{i}",
        domain="math",
        prompt=f"w{i} w{i + 1}",
        trace=" ".join(f"w{i * j % 50}" for j in range(1, 12 + i % 5)),
    )
    for i in range(24)
]
PROBLEMS = [Problem(id=f"p{i}", domain="math", prompt=f"w{i} w{i + 1}") for i in range(48)]
TRL = {"num_generations": 4, "learning_rate": 2e-3, "save_steps": 2, "beta": 0.01, "max_completion_length": 12}
NUMBERS = {"prompts_per_step": 4, "steps": 2, "token_budget": 60, "token_budget_scope": "global", "row_tokens": 32}


def verify(pairs):
    return [Verdict("x", float(text.count("w1") % 2)) for _, text in pairs]


def falls():
    """A verifier by which the policy collapses for two steps: a guard's rollback heals it."""
    calls = []

    def verify(pairs):
        calls.append(pairs)
        return [Verdict("x", float(len(calls) not in (6, 7) and i % 4 > 0)) for i in range(len(pairs))]

    return verify


def responses(prompts, trainer):
    """Responses that depend on the prompt and its place alone: the same for any number of ranks."""
    ids = [trainer.processing_class(_text(prompt), add_special_tokens=False)["input_ids"] for prompt in prompts]
    group, ended = trainer.num_generations, trainer.processing_class.eos_token_id
    keys = [(sum(own), place % group) for place, own in enumerate(ids)]
    made = [[*((13 * a + 7 * b * k + k * k) % 50 for k in range(3 + (a + b) % 9)), ended] for a, b in keys]
    return {"prompt_ids": ids, "completion_ids": made, "logprobs": [[-4.0] * len(each) for each in made]}


def _text(prompt):
    return " ".join(["<user>", prompt[0]["content"], "<assistant>"])


def rl(out, policy, options, seen):
    drawn = responses if options.pop("given_responses", False) else None
    verifier = falls() if options.pop("falls", False) else verify
    own = {**NUMBERS, **options, "trl": TRL | options.get("trl", {})}
    if "guard" in own:
        own["guard"] = Guard.model_validate(own["guard"])
    train(policy, PROBLEMS, verifier, out, rollout_func=drawn, prompt_suffix={}, **own)


def sft(out, policy, options, seen):
    from ringlite_cli.train.sft.run import run_sft

    trl = {"max_length": 64, "per_device_train_batch_size": 1, "max_steps": 4, "learning_rate": 1e-3}
    rows: list = []
    run_sft(policy, TRACES, out, on_step=rows.append, trl=trl | options.pop("trl", {}), seed=3, **options)
    seen.facts["rows"] = rows


def reward_model(out, policy, options, seen):
    """Pairs of 4 to 12 tokens a text. pairs: how many."""
    from ringlite_cli.train.reward_model.run import run_reward_model
    from ringlite_cli.train.reward_model.samples import PairSamples

    pairs = PairSamples()
    for n in range(options.pop("pairs")):
        pairs.chosen.append([10 + (n * j) % 40 for j in range(1, 5 + n % 5)])
        pairs.rejected.append([10 + (n + j) % 40 for j in range(1, 13 - n % 7)])
    rows: list = []
    run_reward_model(policy, pairs, out, on_step=rows.append, seed=3, **options)
    seen.facts["rows"] = rows


def forget(out, policy, options, seen):
    """Takes away what a run wrote after a checkpoint, as a kill before it would have."""
    if int(os.environ.get("RANK", "0")) == 0:
        for name in options["paths"]:
            shutil.rmtree(out / name)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def handed_over(model):
    """What an engine would get: number formats, and whether it is every weight, whole, as the pieces have it."""
    from ringlite_cli.train.sharded import weights_by_block

    given = dict(weights_by_block(model))
    whole = {name: parameter.full_tensor() for name, parameter in model.named_parameters()}
    same = given.keys() == whole.keys() and all(torch.equal(given[n], whole[n].to(given[n].dtype)) for n in whole)
    return {"same": same, "dtypes": sorted({str(x.dtype) for x in given.values()})}


def watch(seen):
    """Has what the passes work on written into `seen.facts`."""
    from trl import SFTTrainer

    from ringlite_cli.train.rl import trainer as module

    losses, rl_step, sft_step = module.token_losses, module.C3POTrainer.training_step, SFTTrainer.training_step

    def token_losses(log_probs, advantages, mask, **given):
        sums = losses(log_probs, advantages, mask, **given)
        facts = {"log_probs": log_probs, "entropy": given["entropy"], "reference": given.get("ref_log_probs")}
        for name, tensor in (facts | {"loss": sums.loss, "kl_sum": sums.kl}).items():
            if tensor is not None:
                seen.facts[name] = str(tensor.dtype)
        seen.facts.setdefault("values", log_probs[mask].detach().float().tolist())
        return sums

    def of_rl(self, model, inputs, *more):
        seen.model(model)
        seen.facts["has_reference"] = self.ref_model is not None
        if seen.facts["parameters"] == ["DTensor"] and "handed_over" not in seen.facts:
            seen.facts["handed_over"] = handed_over(model)
        if self.ref_model is not None:
            reference = fsdp_on_cpu.Seen()
            reference.model(self.ref_model)
            seen.facts["reference_model"] = reference.facts
        return rl_step(self, model, inputs, *more)

    def of_sft(self, model, inputs, *more):
        seen.model(model)
        return sft_step(self, model, inputs, *more)

    def settle(accelerator, model=None):
        plain(accelerator, model)
        if model is not None:
            seen.facts["read"] = any(bool(parameter.any()) for parameter in model.parameters())

    def shrunk(*given):
        seen.facts["small_copies"] = seen.facts.get("small_copies", 0) + 1
        return in_small(*given)

    from ringlite_cli.c3po import row_path
    from ringlite_cli.train.sft import run as sft_run

    in_small, row_path.shrunk = row_path.shrunk, shrunk

    plain, module.settle, sft_run.settle = module.settle, settle, settle
    module.token_losses = token_losses
    module.C3POTrainer.training_step, SFTTrainer.training_step = of_rl, of_sft


def die(where):
    """Has this rank killed while the policy is saved, or the optimizer of the second checkpoint."""
    if where == "policy":
        from ringlite_cli.train.rl import saving as stage

        stage.whole_weights = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        return
    from transformers import trainer

    plain, saved = trainer.save_fsdp_optimizer, []

    def save(*given, **more):
        saved.append(given)
        if len(saved) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*given, **more)

    trainer.save_fsdp_optimizer = save


KINDS = {"rl": rl, "sft": sft, "reward-model": reward_model, "forget": forget}


def main() -> None:
    seen = fsdp_on_cpu.Seen()
    watch(seen)
    if os.environ.get("DIES") and os.environ["RANK"] == "1":
        die(os.environ["DIES"])
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        seen.facts = {}
        out = Path(job["out"])
        KINDS[job["kind"]](out, Path(job["policy"]), job["options"], seen)
        if seen.facts:
            seen.report(out)


if __name__ == "__main__":
    main()
