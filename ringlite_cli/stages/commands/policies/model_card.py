"""The model card of a policy: what it was made from and how, its scores, and how it wants to be asked."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ringlite_cli.evals.eval_stages import asked_again, task_name
from ringlite_cli.recipe.graph import BASE
from ringlite_cli.report.words import joined
from ringlite_cli.runs.earlier import is_earlier, made_from_earlier
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.shares import in_percent
from ringlite_cli.stages.commands.policies.find import Policy

_KEYS = {
    "sft": ("learning_rate", "num_train_epochs", "max_length"),
    "rl": ("algorithm", "prompts_per_step", "token_budget", "max_steps", "num_generations", "max_completion_length",
           "learning_rate", "beta", "entropy_coef", "lora"),
    "select": ("entropy_band", "num_generations"),
}  # fmt: skip
"""Kind of stage -> the keys, of its section or of its `trl`, that the card repeats."""
_FEW = 100


def lineage(policy: Policy) -> list[str]:
    """Return the stages that a policy was made by, the first one first."""
    if policy.name == BASE:
        start = [stage for stage, manifest in policy.manifests.items() if BASE in manifest.outputs]
        return _with_parents(policy.manifests, start, of_base=True)
    return _with_parents(policy.manifests, [policy.name])


def _with_parents(manifests: Mapping[str, Manifest], wanted: list[str], *, of_base: bool = False) -> list[str]:
    found: list[str] = []
    waiting = list(wanted)
    while waiting:
        stage = waiting.pop()
        if stage in manifests and stage not in found:
            found.append(stage)
            waiting += [] if of_base else manifests[stage].parent
    return [stage for stage in manifests if stage in found]


def model_card(policy: Policy) -> str:
    """Return README.md, with the front matter that the hub reads."""
    assert policy.run is not None
    name = f"{policy.recipe.get('name') or policy.run.name}: {policy.name}"
    parts = [
        *_front(policy),
        f"# {name}",
        "",
        f"The policy `{policy.name}` of the run `{policy.recipe.get('name') or policy.run.name}`, made by ringlite, "
        "which follows the recipe of [Ring-lite](https://arxiv.org/abs/2506.14731)."
        + (f" {policy.recipe['note']}" if policy.recipe.get("note") else ""),
        "",
        *_origin(policy),
        *_stages(policy),
        *_scores(policy),
        *_data(policy),
        *_asking(policy),
        *_made_with(policy),
    ]
    return "\n".join(parts) + "\n"


def _front(policy: Policy) -> Iterator[str]:
    model = policy.recipe.get("model") or {}
    yield "---"
    yield "library_name: transformers"
    yield "pipeline_tag: text-generation"
    yield "tags: [ringlite, reasoning]"
    if base := _hub_id(model.get("path")):
        yield f"base_model: {base}"
    if hubs := sorted({hub for source in _sources(policy) if (hub := _hub_id(source.get("hub")))}):
        yield f"datasets: {json.dumps(hubs)}"
    yield "---"
    yield ""


def _hub_id(name: Any) -> str:
    """The name where it can be a hub id; a local path is nobody else's business."""
    plain = isinstance(name, str) and name.count("/") == 1 and not name.startswith((".", "/", "~"))
    return str(name) if plain else ""


def _origin(policy: Policy) -> Iterator[str]:
    model = policy.recipe.get("model") or {}
    yield "## Where it comes from"
    yield ""
    if model.get("new"):
        yield f"Made new ({model['new']['config'].get('model_type', 'unknown')}), with random weights."
    else:
        named = model.get("path") or model.get("package")
        shown = _hub_id(named) or str(named).rstrip("/").rpartition("/")[2]
        file = f", `{model['gguf_file']}`" if model.get("gguf_file") else ""
        adapter = ", with an adapter merged in" if model.get("adapter") else ""
        yield f"Trained from `{shown}`{file}{adapter}. Its licence holds for these weights too; see there."
    yield ""


def _stages(policy: Policy) -> Iterator[str]:
    yield "## How it was trained"
    yield ""
    if policy.name == BASE:
        yield "Not at all: this is the model as the run began with it."
        yield ""
        return
    yield "| stage | kind | settings | tokens trained | seconds |"
    yield "|---|---|---|---:|---:|"
    for stage in lineage(policy):
        manifest = policy.manifests[stage]
        trl = manifest.recipe.get("trl") or {}
        given = {key: trl.get(key, manifest.recipe.get(key)) for key in _KEYS.get(manifest.kind, ())}
        given |= {"picked": manifest.metrics.get("picked")} if manifest.kind == "select" else {}
        told = ", ".join(f"{key} {_plain(value)}" for key, value in given.items() if value is not None)
        trained = f"{manifest.tokens['trained']:,}" if manifest.tokens.get("trained") else ""
        yield f"| {stage} | {manifest.kind} | {told} | {trained} | {manifest.seconds:,.0f} |"
    yield ""
    for stage in lineage(policy):
        if earlier := made_from_earlier(stage, _raw(policy)):
            yield f"**`{stage}` was made from an earlier result of {joined(earlier)} than the one that is told here.**"
            yield ""
    yield "`provenance/` holds the recipe and the manifest of each stage, with digests of all that went in and out."
    yield ""


def _scores(policy: Policy) -> Iterator[str]:
    rows = list(_score_rows(policy))
    yield "## Scores"
    yield ""
    if not rows:
        yield "None: the run has not evaluated this policy" + (", but an earlier one." if _has_earlier(policy) else ".")
        yield ""
        return
    yield "| task | policy | avg@k | 95 % interval | problems | k |"
    yield "|---|---|---:|---|---:|---:|"
    for task, name, score in rows:
        low, high = score["ci95"]
        yield (
            f"| {task} | {name} | {in_percent(score['avg@k'], 1)} % | {100 * low:.1f} to {100 * high:.1f} % | "
            f"{score['n']:,} | {score['k']} |"
        )
    yield ""
    if any(score["n"] < _FEW for _, _, score in rows):
        yield f"Scores on fewer than {_FEW} problems say little; the intervals are over problems, not over runs."
        yield ""
    flagged = sorted({task for task, _, score in rows if score.get("contaminated")})
    if flagged:
        yield f"Problems of {', '.join(flagged)} stand in the run's training sets too: these scores are too high."
        yield ""


def _score_rows(policy: Policy) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(task, policy, score) of this policy, with that of the base model beside it; none of an earlier result of it.

    A task that several eval stages have has the stage's name before it.
    """
    stages = [(stage, m.metrics) for stage, m in _evaluations(policy) if not _is_of_earlier(policy, stage)]
    again = asked_again((policy.name, task) for _, scores in stages for task in scores.get(policy.name, {}))
    for stage, scores in stages:
        for task in scores.get(policy.name, {}):
            shown = task_name(task, stage, again)
            for name in dict.fromkeys((BASE, policy.name)):
                if score := scores.get(name, {}).get(task):
                    yield shown, name, score


def _evaluations(policy: Policy) -> list[tuple[str, Manifest]]:
    return [(stage, m) for stage, m in policy.manifests.items() if m.kind == "eval" and m.status == "done"]


def _is_of_earlier(policy: Policy, stage: str) -> bool:
    """Return whether an eval stage answered by an earlier result of the policy than the one that is there now."""
    return is_earlier(stage, f"{policy.name}/policy", _raw(policy))


def _has_earlier(policy: Policy) -> bool:
    return any(_is_of_earlier(policy, stage) for stage, _ in _evaluations(policy))


def _raw(policy: Policy) -> dict[str, dict[str, Any]]:
    return {stage: vars(manifest) for stage, manifest in policy.manifests.items()}


def _sources(policy: Policy) -> list[Mapping[str, Any]]:
    found = [m.recipe.get("sources") or [] for s in lineage(policy) if (m := policy.manifests[s]).kind == "curate"]
    return [source for sources in found for source in sources]


def _data(policy: Policy) -> Iterator[str]:
    from ringlite_cli.data.cards import card_of
    from ringlite_cli.errors import UserError
    from ringlite_cli.recipe.schema import Source

    if not (sources := _sources(policy)):
        return
    yield "## Data"
    yield ""
    yield "| source | split | licence, by its data card |"
    yield "|---|---|---|"
    for given in sources:
        try:
            card = card_of(Source.made(**given))
        except UserError:
            card = None
        licence = f"{card.licence} (training: {card.training})" if card else "not known"
        split = given.get("split", "train")
        named = given.get("hub") or given.get("generator") or str(given.get("path", "")).rpartition("/")[2]
        yield f"| {named} | {', '.join(split) if isinstance(split, dict) else split} | {licence} |"
    yield ""
    yield "Rows read, left out and why: `provenance/DATA_CARD.md`."
    yield ""


def _asking(policy: Policy) -> Iterator[str]:
    suffix = {domain: text for domain, text in (policy.recipe.get("prompt_suffix") or {}).items() if text}
    yield "## How to ask it"
    yield ""
    yield "By its chat template. In training the prompts of a domain ended with a line of their own:"
    yield ""
    if not suffix:
        yield "(none)"
    for domain, text in suffix.items():
        yield f"- {domain}: `{text}`"
    yield ""
    yield "```python"
    yield "from transformers import pipeline"
    yield ""
    yield 'ask = pipeline("text-generation", model="<this folder or repository>")'
    yield f"question = {json.dumps('What is 12 x 12?' + (chr(10) + next(iter(suffix.values())) if suffix else ''))}"
    yield 'print(ask([{"role": "user", "content": question}], max_new_tokens=512)[0]["generated_text"][-1]["content"])'
    yield "```"
    yield ""


def _made_with(policy: Policy) -> Iterator[str]:
    stages = lineage(policy)
    versions = policy.manifests[stages[-1]].versions if stages else {}
    packages = ", ".join(f"{name} {version}" for name, version in (versions.get("packages") or {}).items())
    yield "## Made with"
    yield ""
    yield f"ringlite {versions.get('ringlite', 'unknown')}, {packages}; {versions.get('device', 'unknown device')}."
    yield "Seed " + str(policy.manifests[stages[-1]].seed if stages else "unknown") + "."


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {_plain(own)}" for key, own in value.items() if own) + ")"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
