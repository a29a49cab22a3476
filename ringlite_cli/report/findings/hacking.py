"""The rule on rewards that may be hacked: an opinion rises while answers only grow, repeat, or get worse elsewhere."""

from ringlite_cli.recipe.composition import OPEN_ENDED
from ringlite_cli.report.files import load_rows, mapping, number, text
from ringlite_cli.report.findings.rule import AMBER, RED, Finding, Found, Rule
from ringlite_cli.report.findings.training import FEWEST_STEPS
from ringlite_cli.report.load import Stage, ends
from ringlite_cli.report.words import count, fixed, joined
from ringlite_cli.runs.catalogue.columns import PENALTY

RISEN = 0.05
"""What a reward has gained from the first tenth of the steps to the last, to count as risen."""
GROWN = 1.5
"""Mean response length of the last tenth of the steps over that of the first, from which on it is a sign."""
REPEATS = 0.02
"""Reward that repetition costs more at last than at first, from which on it is a sign."""
FALLEN = 0.05
"""What a held-out score has lost; the guard's rule reward_gap knows its interval, this page does not."""


def hacked(stage: Stage) -> Found:
    """Find rewards of a judge or a reward model that rise with signs of hacking, and held-out scores that fall."""
    opinions = {name: ends(_values(stage, "reward_parts", name)) for name in OPEN_ENDED}
    opinions = {name: both for name, both in opinions.items() if both[0] is not None}
    held_out = _domains(stage)
    if not opinions and not held_out:
        return None
    if len(stage.metrics) < FEWEST_STEPS:
        return []
    risen = [_change(f"the reward of {name}", *both) for name, both in opinions.items() if _gain(*both) >= RISEN]
    by_opinion = bool(risen)
    if not risen and _gain(*ends(stage.values("reward"))) >= RISEN:
        risen = [_change("the training reward", *ends(stage.values("reward")))]
    fallen = [] if _is_told(stage) else [words for domain in held_out if (words := _fallen(stage, domain))]
    signs = [*(_growth(stage) if by_opinion else []), *fallen]
    if not risen or not signs:
        return []
    words = f"{joined(risen)}, while {joined(signs)}: the reward may be hacked"
    cure = (
        "read the last rollouts; set rewards.length_penalty or repetition_penalty, or give a verifier of answers a "
        "part of the reward (rewards.weights)"
    )
    return [Finding(RED if fallen else AMBER, stage.name, words, cure, "rollouts")]


def _values(stage: Stage, column: str, name: str) -> list[float]:
    found = (number(mapping(row, column).get(name)) for row in stage.metrics)
    return [value for value in found if value is not None]


def _domains(stage: Stage) -> list[str]:
    return sorted({domain for row in stage.metrics for domain in mapping(row, "held_out_by_domain")})


def _gain(first: float | None, last: float | None) -> float:
    return 0.0 if first is None or last is None else last - first


def _change(what: str, first: float | None, last: float | None) -> str:
    verb = "rises" if _gain(first, last) > 0 else "falls"
    return f"{what} {verb} from {fixed(first, 3)} to {fixed(last, 3)}"


def _growth(stage: Stage) -> list[str]:
    """Say how much longer responses have become, and how much more they repeat themselves."""
    found = []
    first, last = ends(stage.values("response_tokens_mean"))
    if first and last and last / first >= GROWN:
        found.append(f"responses grow from {count(round(first))} to {count(round(last))} tokens")
    first, last = ends(_values(stage, "reward_parts", PENALTY + "repetition"))
    if first is not None and last is not None and first - last >= REPEATS:
        found.append(f"repetition costs {fixed(abs(last), 3)} where it cost {fixed(abs(first), 3)}")
    return found


def _fallen(stage: Stage, domain: str) -> str:
    scores = _values(stage, "held_out_by_domain", domain)
    first, last = scores[0], ends(scores)[1]
    return _change(f"the held-out score of {domain}", first, last) if -_gain(first, last) >= FALLEN else ""


def _is_told(stage: Stage) -> bool:
    """Return whether the guard has told of the gap, with its interval: then its alarm stands among the findings."""
    return any(text(event, "rule") == "reward_gap" for event in load_rows(stage.folder / "guard.jsonl").rows)


HACKING = (Rule("rewards that may be hacked", ("rl",), hacked),)
