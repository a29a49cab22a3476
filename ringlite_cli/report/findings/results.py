"""Rules of data, choice and result: each a value, a sign of trouble in what a stage left, with its cure."""

from collections.abc import Sequence

from ringlite_cli.report.files import load_json, mapping, num, numbers
from ringlite_cli.report.findings.rule import AMBER, CUT, RED, Finding, Found, Rule, graded, unparsed
from ringlite_cli.report.load import Stage
from ringlite_cli.report.sections.curation import funnel_of
from ringlite_cli.report.sections.score import Score, scores_in
from ringlite_cli.report.sections.selection import choice_of
from ringlite_cli.report.words import clipped, count, fixed, joined, percent, points
from ringlite_cli.runs.earlier import made_from_earlier

_LETTERS = 300
"""Characters of a failure's message."""
KEPT = 0.1
"""Share of the rows that curation keeps, below which the source rather than its rows is at fault."""


def _stopped(stage: Stage) -> Found:
    if stage.status == "unknown":
        return [Finding(AMBER, stage.name, "has no manifest that can be read", "run its stage again", "provenance")]
    if stage.status not in ("failed", "interrupted"):
        return []
    cure = "the same command goes on from its last checkpoint"
    if stage.status == "interrupted":
        return [Finding(AMBER, stage.name, "was interrupted", cure, "provenance")]
    why = clipped(" ".join(stage.message.split()), _LETTERS)
    return [Finding(RED, stage.name, f"failed: {why}" if why else "failed", f"mend it; then {cure}", "provenance")]


def _earlier(stage: Stage) -> Found:
    """A result that no longer goes with the stages beside it: they were run again, and it was not yet."""
    manifests = {stage.name: stage.manifest}
    for name in mapping(stage.manifest, "inputs"):
        maker = name.partition("/")[0]
        if isinstance(found := load_json(stage.folder.parent / maker / "manifest.json"), dict):
            manifests[maker] = found
    if not (earlier := made_from_earlier(stage.name, manifests)):
        return []
    what = "its scores are those of the earlier one" if stage.kind == "eval" else "not from the one that is there now"
    words = f"was made from an earlier result of {joined(earlier)}: {what}"
    return [Finding(RED, stage.name, words, "`ringlite run` makes it again", "provenance")]


def _kept(stage: Stage) -> Found:
    funnel = funnel_of(stage)
    rows_in, out, dropped = num(funnel, "rows_in"), num(funnel, "out"), numbers(mapping(funnel, "dropped"))
    if not rows_in or out is None:
        return None
    if out / rows_in >= KEPT:
        return []
    most = max(dropped, key=lambda reason: dropped[reason], default="no reason given")
    words = f"kept {count(out)} of {count(rows_in)} rows ({percent(out / rows_in)}), most dropped for {most}"
    cure = f"read dropped.jsonl, and mend the source or its columns for {most}"
    return [Finding(RED if not out else AMBER, stage.name, words, cure, "curation")]


def _pick(stage: Stage) -> Found:
    choice = choice_of(stage)
    entropy, passed = num(choice.pick, "entropy"), num(choice.pick, "pass@1")
    if not choice.picked or (entropy is None and passed is None):
        return None
    found = []
    if choice.band and entropy is not None and not choice.band[0] <= entropy <= choice.band[1]:
        side = "above" if entropy > choice.band[1] else "below"
        words = f"the pick's entropy {fixed(entropy, 3)} is {side} the band {choice.band[0]:g} – {choice.band[1]:g}"
        cure = (
            "train sft longer (trl.num_train_epochs), or raise entropy_band"
            if side == "above"
            else "let an earlier checkpoint be picked (checkpoints_per_epoch), or lower entropy_band"
        )
        found.append(Finding(AMBER, stage.name, words, cure, "select"))
    if passed == 0:
        cure = "train sft longer or on more traces, or take easier problems"
        found.append(Finding(RED, stage.name, "the pick solves none of the problems that it was asked", cure, "select"))
    return found


def _result(stage: Stage) -> list[Score]:
    """The scores of the last policy, the run's result; [] while the evaluation goes on, when it may be any policy."""
    scores = _scores(stage)
    last = list(dict.fromkeys(policy for policy in _policies(scores)))[-1:]
    return [score for score in scores if score.policy in last]


def _scores(stage: Stage) -> list[Score]:
    return [] if stage.status == "running" else scores_in(stage)


def _policies(scores: Sequence[Score]) -> list[str]:
    return list(dict.fromkeys(score.policy for score in scores))


def _cut_in_scores(stage: Stage) -> Found:
    cut = [(score, score.truncated) for score in _result(stage) if score.truncated is not None]
    if not cut:
        return None
    worst = max(share for _, share in cut)
    if not (level := graded(worst, *CUT)):
        return []
    where = joined([f"{s.task} {percent(share)}" for s, share in cut if share >= CUT[0]])
    words = f"responses of {cut[0][0].policy} are cut at the length limit: {where}"
    return [Finding(level, stage.name, words, "raise max_completion_length to trust the scores", "scores")]


def _unparsed_in_scores(stage: Stage) -> Found:
    found: dict[str, float] = {}
    result = _result(stage)
    for score in result:
        for verdict, responses in score.verdicts.items():
            found[verdict] = found.get(verdict, 0.0) + responses
    return unparsed(stage, f"the responses of {result[0].policy}", found, "scores") if result else None


def _contaminated(stage: Stage) -> Found:
    told = [score for score in scores_in(stage) if score.contaminated is not None]
    if not told:
        return None
    by_task = {score.task: (score.contaminated or 0.0, score.n or 0.0) for score in told}
    where = [f"{count(bad)} of {count(n)} in {task}" for task, (bad, n) in by_task.items() if bad]
    if not where:
        return []
    words = f"problems of the evaluation stand in the training sets: {joined(where)}"
    cure = "go by avg@k_clean of scores.json, or name the tasks in curation's decontamination"
    return [Finding(RED, stage.name, words, cure, "scores")]


def _progress(stage: Stage) -> Found:
    scores = _scores(stage)
    policies = _policies(scores)
    if len(policies) < 2:
        return None
    last = [score for score in scores if score.policy == policies[-1]]
    worse = [s for s in last if s.apart and (s.change or 0) < 0 and s.before]
    if worse:
        where = joined([f"{s.task} {points(s.change)}" for s in worse])
        words = f"{policies[-1]} is worse than {worse[0].before.policy if worse[0].before else '?'}: {where} points"
        cure = "keep the policy before it, mix its domain into training (domain_mix, SFT's set), or raise trl.beta"
        return [Finding(RED, stage.name, words, cure, "scores")]
    first = {score.task: score for score in scores if score.policy == policies[0]}
    paired = [(first[s.task], s) for s in last if s.task in first]
    if not paired or any(_above(one, other) is not False for one, other in paired):
        return []
    words = f"no gain is shown: the intervals of {policies[0]} and {policies[-1]} overlap on every task"
    cure = "evaluate on more problems, or train longer; `ringlite compare` pairs the problems and sees smaller gains"
    return [Finding(AMBER, stage.name, words, cure, "scores")]


def _above(one: Score, other: Score) -> bool | None:
    return other.ends[0] > one.ends[1] if one.ends and other.ends else None


RESULTS = (
    Rule("a stage that stopped", ("",), _stopped),
    Rule("results of earlier results", ("",), _earlier),
    Rule("rows that are left", ("curate",), _kept),
    Rule("the picked checkpoint", ("select",), _pick),
    Rule("responses cut in evaluation", ("eval",), _cut_in_scores),
    Rule("unparsed responses in evaluation", ("eval",), _unparsed_in_scores),
    Rule("contamination", ("eval",), _contaminated),
    Rule("progress from stage to stage", ("eval",), _progress),
)
