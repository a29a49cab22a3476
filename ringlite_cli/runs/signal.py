"""A run that looks alive and learns nothing: equal rewards in every group, step after step, and why that may be."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from ringlite_cli.shares import in_percent

Facts = dict[str, float]
NEARLY_ALL = 0.95
"""Share of the responses from which on a cause explains a run without signal."""
SAME_ANSWER = 0.01
"""Nats per token below which a policy gives the same response each time."""


def facts_of(row: Mapping[str, Any]) -> Facts | None:
    """Return what a step without signal had; None where a group had different rewards, or the row does not say."""
    if row.get("informative_fraction") != 0:
        return None
    verdicts = [tally for tally in (row.get("verdicts_by_domain") or {}).values() if isinstance(tally, Mapping)]
    responses = sum(sum(tally.values()) for tally in verdicts)
    facts = {name: row[name] for name in ("reward", "truncated_fraction", "entropy") if row.get(name) is not None}
    if responses:
        facts["unparsed"] = sum(tally.get("unparsed", 0) for tally in verdicts) / responses
    return facts


def in_words(steps: Sequence[Facts]) -> str:
    """Say that nothing can be learned from such steps, the likeliest cause, and what to do."""
    cause, cure = cause_and_cure(steps)
    return f"nothing can be learned: in {len(steps)} steps no group has different rewards; {cause}: {cure}"


def cause_and_cure(steps: Sequence[Facts]) -> tuple[str, str]:
    """Return the likeliest cause of steps without signal, and what to do about it."""
    means = {name: mean(facts[name] for facts in steps if name in facts) for name in set().union(*steps)}
    reward, entropy = means.get("reward", 0.0), means.get("entropy")
    if reward >= NEARLY_ALL:
        shown = f"{reward:.4g}" if 0.995 <= reward < 1 else f"{reward:.2f}"  # 0.996 is not 1.00
        return f"the responses are right already (reward {shown})", "take harder problems"
    if means.get("truncated_fraction", 0.0) >= NEARLY_ALL:
        share = in_percent(means["truncated_fraction"]) + "%"
        return f"{share} of the responses are cut at their limit", "raise trl.max_completion_length"
    if means.get("unparsed", 0.0) >= NEARLY_ALL:
        share = in_percent(means["unparsed"]) + "%"
        return (
            f"no answer is found in {share} of the responses",
            "teach its form by sft, or ask by prompt_suffix",
        )
    if entropy is not None and entropy < SAME_ANSWER:
        cause = f"the policy gives the same response each time (entropy {entropy:.4f})"
        return cause, "begin with an earlier checkpoint"
    cure = "take easier problems, more trl.num_generations, or train longer in sft"
    return f"the mean reward is {reward:.2f}", cure
