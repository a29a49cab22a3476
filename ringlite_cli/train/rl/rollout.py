"""What a rollout was: facts of every response, known to all ranks, and the numbers that are logged of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ringlite_cli.c3po.budget import Pick, informative_groups
from ringlite_cli.runs.catalogue.own import means
from ringlite_cli.runs.row_types import MetricsRow, RolloutRow
from ringlite_cli.train.engine.start import tail_share


@dataclass(slots=True)
class RolloutBatch:
    """All responses in TRL's order: batch by batch (a refill is a further batch), rank by rank, group by group.

    lengths: response tokens that may carry loss. ended: by an end token, not by max_completion_length. rewards: None
    without a verdict. places: (rank, batch, row in that rank's batch). prompts, responses, details: of all ranks on the
    main rank, which writes them down, and empty elsewhere. policy_step: optimizer steps of the policy that wrote them.
    """

    lengths: list[int]
    ended: list[bool]
    rewards: list[float | None]
    advantages: list[float]
    domains: list[str]
    prompt_ids: list[str]
    places: list[tuple[int, int, int]]
    prompts: list[Any]
    responses: list[Any]
    verdicts: list[str]
    details: list[str] = field(default_factory=list)  # what verifiers say beside a verdict: a failed test, say
    parts: list[dict[str, float | None]] = field(default_factory=list)  # of rewards that were composed, by name
    labels: list[dict[str, str]] = field(default_factory=list)  # of each prompt, as `where.told` tells them
    retention: list[int] = field(default_factory=list)  # rollouts that each was carried over, in mode carry
    policy_step: int = 0

    def extend(self, other: "RolloutBatch") -> None:
        """Append a further batch."""
        batch = self.places[-1][1] + 1
        other.places = [(rank, batch, row) for rank, _, row in other.places]
        for each in fields(self):
            if isinstance(mine := getattr(self, each.name), list):
                mine.extend(getattr(other, each.name))

    def rows(self, kept: Mapping[int, tuple[int, int]]) -> list[RolloutRow]:
        """Return rows of rollouts.jsonl. kept: response -> (the step that trained it, its tokens kept)."""
        rows = []
        for i, length in enumerate(self.lengths):
            step, tokens_kept = kept.get(i, (self.policy_step + 1, 0))
            rows.append(
                {
                    "step": step,
                    "prompt_id": self.prompt_ids[i],
                    "domain": self.domains[i],
                    "labels": self.labels[i] if self.labels else {},
                    "prompt": _text(self.prompts[i]),
                    "response": _text(self.responses[i]),
                    "verdict": self.verdicts[i],
                    "reward": self.rewards[i],
                    "advantage": self.advantages[i],
                    "tokens": length,
                    "tokens_kept": tokens_kept,
                    "truncated": not self.ended[i],
                }
                | ({"detail": self.details[i]} if self.details and self.details[i] else {})
                | ({"reward_parts": self.parts[i]} if self.parts and self.parts[i] else {})
                | ({"retention": self.retention[i]} if self.retention else {})
            )
        return rows


def selection_stats(
    rollout: RolloutBatch, picks: Sequence[Pick], budget: int, all_picks: Sequence[Sequence[Pick]] | None
) -> MetricsRow:
    """Return what an update trains of its budget. all_picks: of all the rollout's updates, to count tokens."""
    trained = sum(pick.tokens for pick in picks)
    stats: MetricsRow = {
        "budget": budget,
        "tokens_trained": trained,
        "responses_trained": len(picks),
        "budget_fill": trained / max(budget, 1),
        "tokens_generated": 0,
        "tokens_dropped": 0,
        "tokens_cut": 0,
        "tokens_refilled": 0,
    }
    if all_picks is not None:
        domains = domain_tokens(rollout, [pick for each in all_picks for pick in each])
        for column in ("generated", "dropped", "cut", "refilled"):
            stats[f"tokens_{column}"] = sum(domain[column] for domain in domains.values())
        stats["tokens_by_domain"] = domains
    return stats


def domain_tokens(rollout: RolloutBatch, picks: Sequence[Pick]) -> dict[str, dict[str, int]]:
    """Return per domain: tokens generated, kept, dropped, cut (dropped of kept responses), got by refilling."""
    kept = {pick.index: pick.tokens for pick in picks}
    names = ("generated", "kept", "dropped", "cut", "refilled")
    table = {domain: dict.fromkeys(names, 0) for domain in sorted(set(rollout.domains))}
    for i, (domain, length) in enumerate(zip(rollout.domains, rollout.lengths, strict=True)):
        row, mine = table[domain], kept.get(i, 0)
        row["generated"] += length
        row["kept"] += mine
        row["dropped"] += length - mine
        row["cut"] += length - mine if mine else 0
        row["refilled"] += length if rollout.places[i][1] else 0
    return table


def rollout_stats(rollout: RolloutBatch, num_generations: int) -> MetricsRow:
    """Return the rollout's part of a metrics row. num_generations: responses per prompt."""
    scored = [reward for reward in rollout.rewards if reward is not None]
    informative = informative_groups(rollout.rewards, num_generations)
    parts = means({name: v for name, v in each.items() if v is not None} for each in rollout.parts)
    return {
        "reward": sum(scored) / len(scored),
        "reward_by_domain": {
            domain: _mean([r for r, d in zip(rollout.rewards, rollout.domains, strict=True) if d == domain])
            for domain in sorted(set(rollout.domains))
        },
        "verdicts_by_domain": {
            domain: dict(Counter(v for v, d in zip(rollout.verdicts, rollout.domains, strict=True) if d == domain))
            for domain in sorted(set(rollout.domains))
        },
        "response_tokens_mean": sum(rollout.lengths) / len(rollout.lengths),
        "response_tokens_max": max(rollout.lengths),
        "rollout_tail_share": tail_share(rollout.lengths),
        "truncated_fraction": rollout.ended.count(False) / len(rollout.ended),
        "informative_fraction": sum(informative) / len(informative),
        "responses_without_verdict": len(rollout.rewards) - len(scored),
    } | ({"reward_parts": dict(sorted(parts.items()))} if parts else {})


def _mean(rewards: Sequence[float | None]) -> float | None:
    scored = [reward for reward in rewards if reward is not None]
    return sum(scored) / len(scored) if scored else None


def _text(prompt_or_response: Any) -> str:
    """Return the last message's text of a conversation, or the text itself."""
    return prompt_or_response if isinstance(prompt_or_response, str) else str(prompt_or_response[-1]["content"])
