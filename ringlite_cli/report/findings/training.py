"""Rules of training, SFT and RL: each a value, a sign of trouble in a stage's steps, with its cure.

A limit is the guard's own where the recipe sets one; else it is a number of this file, with its reason beside it.
"""

import math

from ringlite_cli.report.files import load_rows, mapping, num, numbers, text
from ringlite_cli.report.findings.rule import (
    AMBER,
    CUT,
    RED,
    Finding,
    Found,
    Look,
    Rule,
    graded,
    guard_of,
    tail,
    unparsed,
)
from ringlite_cli.report.load import Stage, ends
from ringlite_cli.report.words import count, decimal, fixed, percent
from ringlite_cli.runs.signal import cause_and_cure, facts_of

BARREN = (0.1, 0.5)
"""Share of steps without signal: a tenth of the work is lost, half of it is."""
FEW_GROUPS = 0.1
"""Share of groups with both right and wrong responses below which most of what is generated teaches nothing."""
ENTROPY_LEFT = (0.5, 0.2)
"""Entropy of the last tenth of the steps over that of the first: halved, or nearly gone (collapse)."""
ENTROPY_GROWN = 3.0
FEWEST_STEPS = 10
"""A trend is not read off fewer steps."""
KL = (0.5, 1.0)
"""Nats per token from the reference; at 1 the policy's tokens are e times likelier than the reference has them."""
MISMATCH = (0.05, 0.2)
"""Nats per token between engine and trainer; the second is the guard's own limit."""
MASKED = (0.1, 0.5)
"""Share of tokens that the mismatch rule leaves without weight; the second is the guard's own limit."""
TOO_OLD = (0.05, 0.2)
"""Share of the tokens that rollouts wrote for groups that were dropped: what is dropped are the longest responses."""
BUDGET_FILLED = (0.9, 0.5)
NO_VERDICT = (0.01, 0.1)
LEFT_OUT = 0.1
IDLE_EXPERT = 0.05
"""Load of the idlest expert over an even share; below it the expert is as good as not there."""
BUSY_EXPERT = 4.0
"""Load of the busiest expert over an even share."""


def _sft_loss(stage: Stage) -> Found:
    values = stage.values("loss")
    first, last = ends(values)
    if first is None or last is None:
        return None
    if len(values) < FEWEST_STEPS or last < first:
        return []
    words = f"the loss does not fall: {decimal(first)} at first, {decimal(last)} at last"
    return [Finding(RED, stage.name, words, "change trl.learning_rate, and look at a sample as it is trained", "sft")]


def _samples(stage: Stage) -> Found:
    account = stage.load("samples.json")
    used = num(account, "samples")
    if used is None:
        return None
    left_out, cut = sum(numbers(mapping(account, "left_out")).values()), num(account, "cut") or 0.0
    share = (left_out + cut) / (used + left_out) if used + left_out else 0.0
    if share < LEFT_OUT:
        return []
    words = f"{percent(share)} of the traces are left out or cut"
    return [Finding(AMBER, stage.name, words, "raise trl.max_length, or take shorter traces", "sft")]


def _not_finite(stage: Stage) -> Found:
    watched = ("loss", "grad_norm", "kl", "entropy")
    if not any(key in row for row in stage.metrics for key in watched):
        return None
    wrong = [
        (row.get("step"), key)
        for row in stage.metrics
        for key in watched
        if isinstance(value := row.get(key), float) and not math.isfinite(value)
    ]
    if not wrong:
        return []
    words = f"{wrong[0][1]} is no finite number at step {wrong[0][0]}" + (
        f", and {count(len(wrong) - 1)} times more" if len(wrong) > 1 else ""
    )
    cure = "lower trl.learning_rate or trl.max_grad_norm, or train in bfloat16 or float32"
    return [Finding(RED, stage.name, words, cure, "rl" if stage.kind == "rl" else "sft")]


def _no_signal(stage: Stage) -> Found:
    shares = stage.values("informative_fraction")
    if not shares:
        return None
    barren = [facts for row in stage.metrics if (facts := facts_of(row)) is not None]
    if level := graded(len(barren) / len(shares), *BARREN):
        cause, cure = cause_and_cure(barren)
        words = f"no signal in {count(len(barren))} of {count(len(shares))} steps: no group has different rewards; "
        return [Finding(level, stage.name, words + cause, cure, "rl")]
    last = ends(shares)[1] or 0.0
    if last >= FEW_GROUPS:
        return []
    words = f"little signal: of the last steps' groups {percent(last)} have both right and wrong responses"
    cure = "take problems of middling difficulty, or more trl.num_generations"
    return [Finding(AMBER, stage.name, words, cure, "rl")]


def _entropy(stage: Stage) -> Found:
    values = stage.values("entropy")
    first, last = ends(values)
    if first is None or last is None:
        return None
    rule = mapping(guard_of(stage), "entropy")
    low, high = num(rule, "low"), num(rule, "high")
    cure = "raise trl.entropy_coef, lower trl.learning_rate, or begin with a checkpoint of more entropy"
    if low and last < low:
        words = f"the entropy {fixed(last, 3)} is below the guard's {low:g} nats per token"
        return [Finding(RED, stage.name, words, cure, "rl")]
    if high and last > high:
        words = f"the entropy {fixed(last, 3)} is above the guard's {high:g} nats per token"
        return [Finding(RED, stage.name, words, "lower trl.entropy_coef or trl.learning_rate", "rl")]
    if len(values) < FEWEST_STEPS or first <= 0:
        return []
    words = f"from {fixed(first, 3)} to {fixed(last, 3)} nats per token"
    if last / first <= ENTROPY_LEFT[0]:
        collapsed = last / first <= ENTROPY_LEFT[1]
        what = "the entropy collapses" if collapsed else "the entropy halves"
        return [Finding(RED if collapsed else AMBER, stage.name, f"{what}, {words}", cure, "rl")]
    if last / first >= ENTROPY_GROWN:
        grows = f"the entropy grows, {words}"
        return [Finding(AMBER, stage.name, grows, "lower trl.entropy_coef or trl.learning_rate", "rl")]
    return []


def _cut_in_training(stage: Stage) -> Found:
    last = ends(stage.values("truncated_fraction"))[1]
    if last is None:
        return None
    if not (level := graded(last, *CUT)):
        return []
    words = f"{percent(last)} of the last steps' responses are cut at the length limit"
    cure = "raise trl.max_completion_length, or teach shorter responses by sft"
    return [Finding(level, stage.name, words, cure, "rl")]


def _unparsed_in_training(stage: Stage) -> Found:
    found: dict[str, float] = {}
    for row in tail(stage):
        for tally in mapping(row, "verdicts_by_domain").values():
            for verdict, responses in numbers(tally).items():
                found[verdict] = found.get(verdict, 0.0) + responses
    return unparsed(stage, "the last steps' responses", found, "rl")


def _kl(stage: Stage) -> Found:
    last = ends(stage.values("kl"))[1]
    if last is None:
        return None
    if not (level := graded(last, *KL)):
        return []
    words = f"the policy is {decimal(last)} nats per token from its reference"
    return [Finding(level, stage.name, words, "raise trl.beta, or lower trl.learning_rate", "rl")]


def _mismatch(stage: Stage) -> Found:
    apart, masked = ends(stage.values("engine_mismatch"))[1], ends(stage.values("mismatch_masked"))[1]
    if apart is None and masked is None:
        return None
    rule = mapping(guard_of(stage), "mismatch")
    cure = "hold engine and trainer to one dtype and one attention; the recipe's mismatch corrects what is left"
    if apart is not None and (level := graded(apart, MISMATCH[0], num(rule, "above") or MISMATCH[1])):
        words = f"engine and trainer differ by {decimal(apart)} nats per token"
        return [Finding(level, stage.name, words, cure, "rl")]
    if masked is not None and (level := graded(masked, MASKED[0], num(rule, "masked") or MASKED[1])):
        words = f"the mismatch rule leaves {percent(masked)} of the tokens without weight"
        return [Finding(level, stage.name, words, cure, "rl")]
    return []


def _too_old(stage: Stage) -> Found:
    groups, dropped = sum(stage.values("groups_dropped_old")), sum(stage.values("tokens_dropped_old"))
    written = sum(stage.values("tokens_generated"))
    if not stage.values("groups_dropped_old") or not written:
        return None
    if not (level := graded(dropped / written, *TOO_OLD)):
        return []
    words = (
        f"{percent(dropped / written)} of the tokens that rollouts wrote went with {count(groups)} groups past "
        "max_retention: long responses do not train"
    )
    return [Finding(level, stage.name, words, "raise rollouts.max_retention, or lower in_flight", "rl")]


def _budget(stage: Stage) -> Found:
    filled = stage.values("budget_fill")
    if not filled:
        return None
    mean = sum(filled) / len(filled)
    if mean >= BUDGET_FILLED[0]:
        return []
    words = f"the token budget is filled to {percent(mean)} on average: updates are smaller than Φ says"
    cure = "more prompts_per_step, undershoot: refill, or a lower token_budget"
    return [Finding(AMBER if mean >= BUDGET_FILLED[1] else RED, stage.name, words, cure, "rl")]


def _no_verdict(stage: Stage) -> Found:
    without = sum(stage.values("responses_without_verdict"))
    with_one = sum(
        sum(numbers(tally).values()) for row in stage.metrics for tally in mapping(row, "verdicts_by_domain").values()
    )
    if not with_one:
        return None
    if not (level := graded(without / with_one, *NO_VERDICT)):
        return []
    words = f"{count(without)} responses ({percent(without / with_one)}) got no verdict: their verifier failed"
    return [Finding(level, stage.name, words, "`ringlite doctor` says what verifiers lack here", "rollouts")]


def _router(stage: Stage) -> Found:
    idle, busy = ends(stage.values("router_load_min"))[1], ends(stage.values("router_load_max"))[1]
    if idle is None and busy is None:
        return None
    cure = "raise router_balance_coef"
    if idle is not None and idle <= IDLE_EXPERT:
        words = f"an expert is hardly used any more ({fixed(idle, 2)} of an even share)"
        return [Finding(AMBER, stage.name, words, cure, "rl")]
    if busy is not None and busy >= BUSY_EXPERT:
        words = f"the busiest expert has {fixed(busy, 1)} times an even share"
        return [Finding(AMBER, stage.name, words, cure, "rl")]
    return []


_TOLD_BY: dict[str, Look] = {
    "no_signal": _no_signal,
    "entropy": _entropy,
    "truncated": _cut_in_training,
    "mismatch": _mismatch,
}
"""Rules of the guard -> rules here that tell of the same in the numbers: what they found is not said twice."""


def _alarms(stage: Stage) -> Found:
    events = load_rows(stage.folder / "guard.jsonl").rows
    found = []
    told = {rule for rule, look in _TOLD_BY.items() if look(stage)}
    for rule in dict.fromkeys(text(event, "rule", "?") for event in events):
        mine = [event for event in events if text(event, "rule", "?") == rule]
        hard = any(event.get("failed") or num(event, "to") is not None for event in mine)
        if rule in told and not hard:
            continue
        times = "once" if len(mine) == 1 else f"{count(len(mine))} times"
        seen = text(mine[0], "words")
        words = f"the guard's rule {rule} was broken {times}, first at step {text(mine[0], 'step', '?')}"
        cure = "look at the rollouts of those steps; see the guard's table"
        if rule == "grad_norm":
            cure = "lower trl.learning_rate or trl.max_grad_norm if it comes again"
        found.append(Finding(RED if hard else AMBER, stage.name, words + (f": {seen}" if seen else ""), cure, "rl"))
    return found if events or stage.metrics else None


TRAINING = (
    Rule("SFT's loss", ("sft",), _sft_loss),
    Rule("traces left out", ("sft",), _samples),
    Rule("numbers that are not finite", ("sft", "rl"), _not_finite),
    Rule("signal", ("rl",), _no_signal),
    Rule("entropy", ("rl",), _entropy),
    Rule("responses cut in training", ("rl",), _cut_in_training),
    Rule("unparsed responses in training", ("rl",), _unparsed_in_training),
    Rule("KL", ("rl",), _kl),
    Rule("the guard's alarms", ("rl",), _alarms),
    Rule("engine against trainer", ("rl",), _mismatch),
    Rule("groups dropped for their age", ("rl",), _too_old),
    Rule("the token budget", ("rl",), _budget),
    Rule("responses without a verdict", ("rl",), _no_verdict),
    Rule("experts of the router", ("rl",), _router),
)
