"""The commented recipe that `ringlite new` writes."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ringlite_cli.recipe.editor_schema import MODELINE
from ringlite_cli.recipe.schema import Recipe, RlStage, SelectStage, SftStage
from ringlite_cli.stages.commands.first.sizes import Sizes

_COPIED = ("cut", "undershoot", "drop_uninformative", "mismatch", "lora")
"""Keys of the RL stage that is followed which hold for any model and data."""
_OURS = {"max_length", "learning_rate", "max_steps", "max_completion_length", "num_generations",
         "vllm_max_model_length", "per_device_train_batch_size"}  # fmt: skip
"""TRL's fields that are fitted here; the others are the followed recipe's."""


@dataclass(frozen=True)
class Facts:
    """All that the recipe says.

    like: the recipe that is followed. model: the section. template: a chat template to bring, or "". source: of the
    file, as the recipe has it. sets: of the curate stage; counts: their problems, where the whole file was read.
    is_scored: whether anything verifies responses. warm_up: a generator's source whose traces SFT learns where the file
    has none. left_out: the share of SFT samples that do not fit. batch: rows of an SFT batch. facts, notes: lines for
    the head.
    """

    name: str
    like: Recipe
    like_name: str
    model: dict[str, Any]
    template: str
    suffix: dict[str, str]
    source: dict[str, Any]
    domains: tuple[str, ...]
    sets: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, int]
    sizes: Sizes
    is_scored: bool
    warm_up: dict[str, Any] | None = None
    left_out: float = 0.0
    batch: int = 4
    tests: dict[str, Any] | None = None
    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rl(self) -> str:
        """The name of the RL stage."""
        return f"rl-{self.domains[0]}" if len(self.domains) == 1 else "rl"


def recipe_text(facts: Facts) -> str:
    """Return the recipe, as YAML with comments."""
    lines = [f"# {facts.source['path']}, after the recipe {facts.like_name}; written by `ringlite new`", MODELINE, "#"]
    lines += [line for fact in facts.facts for line in _comment(fact)]
    if facts.notes:
        lines += ["#", "# What to know:"]
        lines += [line for note in facts.notes for line in _comment(note, "- ")]
    lines += [*_head(facts), "stages:", *_curate(facts), *_sft(facts)]
    if facts.is_scored:
        lines += [*_select(facts), *_rl(facts), *_eval(facts)]
    return "\n".join(lines) + "\n"


def _head(facts: Facts) -> Iterator[str]:
    like = facts.like
    yield f"name: {flow(facts.name)}"
    yield f"seed: {like.seed}"
    yield f"model: {flow(facts.model)}"
    if facts.template:
        yield "# The model has no chat template of its own; SFT teaches it this one."
        yield f"chat_template: {_quoted(facts.template)}"
    yield "# What is written behind every prompt of a domain: it has to say how an answer is given, or none is found."
    yield f"prompt_suffix: {flow(facts.suffix)}"
    if given := _given(like.rewards):
        yield f"rewards: {flow(given)}"
    if given := _given(like.engine):
        if "max_model_length" in given:
            given["max_model_length"] = facts.sizes.engine_length
        yield f"engine: {flow(given)}"


def _curate(facts: Facts) -> Iterator[str]:
    yield "  curate:"
    yield "    kind: curate"
    yield "    sources:"
    yield "      # our field -> the file's column; `ringlite data check` shows what is read"
    yield f"      - {flow(facts.source)}"
    if facts.warm_up:
        yield "      # The file has no worked traces. So SFT only learns the form of an answer, on generated problems;"
        yield "      # traces of your own (a column `trace`), or of a teacher (`distill:`), teach more."
        yield f"      - {flow(facts.warm_up)}"
    if facts.tests:
        yield f"    tests: {flow(facts.tests)}"
    yield "    sets:"
    for name, section in facts.sets.items():
        count = facts.counts.get(name)
        yield f"      {name}: {flow(section)}" + (f"  # {count:,} problems" if count else "")


def sets_of(
    source: Mapping[str, Any], warm_up: Mapping[str, Any] | None, is_scored: bool, half: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """Return the sets of the curate stage, as the recipe has them.

    half: domain -> rows that are for SFT alone, RL learning from the others; {} where both learn from the same.
    """
    traces: dict[str, Any] = {"split": "train", "traces": True}
    mine: dict[str, Any] = {"split": "train"}
    if warm_up:
        traces["where"] = {"source": warm_up["generator"]}
        mine["where"] = {"source": Path(source["path"]).name}
    elif half:
        traces["rows"] = dict(half)
        mine["disjoint_from"] = ["traces"]
    if not is_scored:
        return {"traces": traces}
    return {"traces": traces, "problems": mine, "select": {"split": "select"}, "eval": {"split": "eval"}}


def _sft(facts: Facts) -> Iterator[str]:
    like = next((s for s in facts.like.stages.values() if isinstance(s, SftStage)), None)
    kept = {key: value for key, value in (like.trl if like else {}).items() if key not in _OURS}
    sizes = facts.sizes
    epochs = float(kept.setdefault("num_train_epochs", 3.0))
    _shorten_warm_up(kept, round(epochs * facts.counts.get("traces", 1000) / facts.batch))
    yield "  sft:"
    yield "    kind: sft"
    yield "    data: curate.traces"
    yield "    checkpoints_per_epoch: 1"
    if facts.left_out > 0.1:
        yield f"    max_left_out: {min(0.99, round(facts.left_out + 0.02, 2))}  # traces that do not fit the context"
    yield "    trl:"
    yield f"      max_length: {sizes.max_length}  # the longest prompt with its trace"
    yield f"      learning_rate: {flow(sizes.sft_rate)}  # by the size of the model"
    yield f"      per_device_train_batch_size: {facts.batch}"
    yield from (f"      {key}: {flow(value)}" for key, value in kept.items())


def _select(facts: Facts) -> Iterator[str]:
    like = next((s for s in facts.like.stages.values() if isinstance(s, SelectStage)), None)
    yield "  select:"
    yield "    kind: select"
    yield "    candidates: sft"
    yield "    data: curate.select"
    band = list(like.entropy_band) if like else [0.3, 0.5]
    yield f"    entropy_band: {flow(band)}  # nats per token; with short traces entropy is lower"
    yield f"    num_generations: {min(like.num_generations, 8) if like else 4}"
    yield f"    max_completion_length: {facts.sizes.max_completion_length}"


def _rl(facts: Facts) -> Iterator[str]:
    like = next(s for s in facts.like.stages.values() if isinstance(s, RlStage))
    sizes = facts.sizes
    kept = {key: value for key, value in like.trl.items() if key not in _OURS}
    if "vllm_max_model_length" in like.trl:
        kept["vllm_max_model_length"] = sizes.engine_length
    _shorten_warm_up(kept, sizes.max_steps)
    responses = sizes.prompts_per_step * sizes.responses
    yield f"  {facts.rl}:"
    yield "    kind: rl"
    yield "    policy: select"
    yield "    data: curate.problems"
    asked = f"{sizes.prompts_per_step} prompts x {sizes.responses} responses"
    yield f"    # A step: {asked} of some {sizes.expected} tokens."
    yield f"    prompts_per_step: {sizes.prompts_per_step}"
    yield f"    token_budget: {sizes.token_budget}  # about 80 % of what these {responses} responses hold"
    yield "    token_budget_scope: global"
    given = _given(like)
    yield from (f"    {key}: {flow(given[key])}" for key in _COPIED if key in given)
    yield "    trl:"
    yield f"      max_steps: {sizes.max_steps}"
    yield f"      num_generations: {sizes.responses}"
    yield f"      max_completion_length: {sizes.max_completion_length}  # longer responses are cut, and earn nothing"
    yield f"      learning_rate: {flow(sizes.rl_rate)}  # by the size of the model; raise it where reward stays"
    yield from (f"      {key}: {flow(value)}" for key, value in kept.items())


def _eval(facts: Facts) -> Iterator[str]:
    yield "  eval:"
    yield "    kind: eval"
    yield f"    policies: [base, select, {facts.rl}]"
    yield "    tasks: [curate.eval]"
    yield "    num_generations: 4"
    yield f"    max_completion_length: {facts.sizes.max_completion_length}"


def _shorten_warm_up(trl: dict[str, Any], steps: int) -> None:
    """Keep the steps of rising learning rate within a tenth of all: those of a long run would be all of a short one."""
    if "warmup_steps" in trl:
        trl["warmup_steps"] = min(trl["warmup_steps"], max(1, steps // 10))


def _given(section: Any) -> dict[str, Any]:
    """The keys of a section that its recipe sets, as YAML takes them."""
    return dict(section.model_dump(mode="json", exclude_unset=True))


def flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, float) and 0 < abs(value) <= 1e-3:
        mantissa, _, power = f"{value:.9e}".partition("e")
        return f"{float(mantissa):g}e{int(power)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    text = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True)
    return text.strip()[1:-1]  # quoted as it has to be between braces


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', width=10**6).strip()


def _comment(text: str, mark: str = "") -> Iterator[str]:
    lines = textwrap.wrap(text, 112 - len(mark)) or [""]
    yield f"# {mark}{lines[0]}"
    yield from (f"# {' ' * len(mark)}{line}" for line in lines[1:])
