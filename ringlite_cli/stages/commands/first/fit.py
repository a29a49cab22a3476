"""What a first recipe says of a file and a model: curated as the recipe will, measured, and fitted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.data.guessing import Reading
from ringlite_cli.errors import UserError
from ringlite_cli.problems import DEFAULT_SUFFIX, PAPER_SUFFIX, Problem, Verify
from ringlite_cli.recipe.schema import ProblemSet, Recipe, RlStage, SftStage, Source
from ringlite_cli.stages.commands.first.file import Curated, curate_file
from ringlite_cli.stages.commands.first.lengths import Lengths, check_room, measure, spread
from ringlite_cli.stages.commands.first.model import Looked
from ringlite_cli.stages.commands.first.sizes import Sizes, make_sizes, shares
from ringlite_cli.stages.commands.first.text import Facts, sets_of

_FEWEST = 8
"""Problems that are too few to learn from, pick by and evaluate on."""
_FEW_TRACES = 4
_WARM_UPS = {"math": "arithmetic", "code": "functions", "science": "formulas", "logic": "puzzles"}
"""Domain -> the generator whose traces show the form of its answers."""
_PLAIN_REPLIES = "instructions"
"""The generator for all other domains: what it answers is a plain reply, with no box, no code and no sum in it."""
_WARM_UP_ROWS = 120
_SFT_ALONE = (
    "nothing in the file verifies a response (no answers, no tests), so the recipe trains SFT alone; name a column of "
    "answers (--columns answer=<column>) for RL and eval"
)


@dataclass(frozen=True)
class Given:
    """What a recipe is made of: the file, the model, and the recipe that is followed, by its name and its RL stage."""

    reading: Reading
    looked: Looked
    like: Recipe
    like_name: str
    rl: RlStage
    verify: Verify

    def sizes(self, lengths: Lengths, train: int) -> Sizes:
        """Fit the numbers, for so many problems that RL learns from."""
        fallback = min(max(self.rl.max_completion_length, 256), max(64, (self.looked.positions or 4096) // 2))
        return make_sizes(lengths, self.looked.positions, self.looked.parameters, train, self.rl, fallback)


def fit(name: str, given: Given, console: Console) -> Facts:
    """Curate the file, measure what is left, and choose the numbers. Raises UserError where too little is left."""
    suffix = _suffix(given.reading, given.like)
    whole = curate_file(given.reading, given.verify, suffix=suffix, seed=given.like.seed)
    told = _of_curation(whole, console)
    is_scored = _enough(whole, given.reading)
    scored, traced = whole.sets["scored"], whole.sets["traces"]
    lengths = measure(whole.kept, given.looked.tokenizer, suffix)
    notes = [*check_room(lengths, given.looked.positions), *([] if is_scored else [_SFT_ALONE])]
    domains = tuple(dict.fromkeys(problem.domain for problem in (scored if is_scored else whole.kept)))
    warm_up = _warm_up(traced, domains) if is_scored else None
    split = shares(len(scored)) if is_scored else "train"
    source = _source(given.reading, split)
    train = round(len(scored) * split["train"]) if isinstance(split, dict) else 0
    half = _half(traced, train) if given.sizes(lengths, train).apart and warm_up is None else {}
    sets = sets_of(source, warm_up, is_scored, half)
    counts, trained = _draw(given, whole, suffix, source, warm_up, sets)
    samples = Lengths(lengths.prompts, lengths.traces, trained.samples, lengths.guessed, lengths.longest)
    sizes = given.sizes(samples, counts.get("problems", train))
    return Facts(
        name=name,
        like=given.like,
        like_name=given.like_name,
        model={**given.looked.section, "dtype": _dtype(given.looked)},
        template=given.looked.template,
        suffix={domain: text for domain, text in suffix.items() if domain in domains},
        source=source,
        domains=domains,
        sets=sets,
        counts=counts,
        sizes=sizes,
        is_scored=is_scored,
        warm_up=warm_up,
        left_out=sum(n > sizes.max_length for n in trained.samples) / max(1, len(trained.samples)),
        batch=_batch(given.like, counts.get("traces", 8)),
        tests={"require_solution": False} if domains == ("code",) else None,
        facts=[*_facts(given, whole, lengths), *told],
        notes=[*given.looked.notes, *_of_columns(given.reading), *notes, *_unknown(given.looked, lengths)],
    )


def _enough(whole: Curated, reading: Reading) -> bool:
    """Whether there are problems to score responses to. Raises UserError where there are too few of any kind."""
    scored, traced = len(whole.sets["scored"]), len(whole.sets["traces"])
    if not whole.kept:
        raise UserError(f"curation leaves none of its {whole.read} rows", where=str(reading.path), hint=_why(whole))
    if scored < _FEWEST and traced < _FEWEST:
        raise UserError(
            f"too few problems: curation leaves {scored} that a verifier can score and {traced} with a trace; a run "
            f"needs {_FEWEST} at least, to learn from, to pick by and to evaluate on",
            where=str(reading.path),
            hint=_why(whole),
        )
    return scored >= _FEWEST


def _suffix(reading: Reading, recipe: Recipe) -> dict[str, str]:
    """The suffix of each domain that the file may have; none where its prompts ask for a box themselves."""
    prompt = reading.guess.columns.get("prompt", "prompt")
    texts = [str(row.get(prompt, "")) for row in reading.rows]
    asks_already = sum("boxed" in text for text in texts) * 2 > len(texts)
    named = [reading.domain] if reading.domain else ["math", "science", "logic"]
    asked = {**DEFAULT_SUFFIX, "logic": PAPER_SUFFIX, **recipe.prompt_suffix}
    return {} if asks_already else {domain: asked[domain] for domain in named if asked.get(domain)}


def _source(reading: Reading, split: Any) -> dict[str, Any]:
    source: dict[str, Any] = {"path": str(reading.path)}
    if reading.guess.adapter:
        source["adapter"] = reading.guess.adapter
    if reading.guess.columns:
        source["columns"] = reading.guess.columns
    if reading.domain:
        source["domain"] = reading.domain
    return source | {"split": split}


def _warm_up(traced: Sequence[Problem], domains: tuple[str, ...]) -> dict[str, Any] | None:
    """A generator whose traces SFT learns, where the file has too few; None where it has enough."""
    if len(traced) >= _FEW_TRACES:
        return None
    generator = next((_WARM_UPS[domain] for domain in domains if domain in _WARM_UPS), _PLAIN_REPLIES)
    return {"generator": generator, "rows": _WARM_UP_ROWS, "split": "train"}


def _half(traced: Sequence[Problem], train: int) -> dict[str, int]:
    """Rows of each domain for SFT: half of those with a trace that are trained; RL learns from the others."""
    share = min(1.0, train / max(1, len(traced))) / 2
    counts = Counter(problem.domain for problem in traced)
    return {domain: max(1, round(number * share)) for domain, number in counts.items()}


def _draw(
    given: Given, whole: Curated, suffix: dict[str, str], source: dict[str, Any], warm_up: dict[str, Any] | None,
    sets: dict[str, dict[str, Any]],
) -> tuple[dict[str, int], Lengths]:  # fmt: skip
    """The problems of each set, by curating the file with its splits; and the lengths of what SFT learns."""
    drawn = curate_file(
        given.reading,
        given.verify,
        split=source["split"],
        sets={name: ProblemSet.made(**section) for name, section in sets.items()},
        suffix=suffix,
        seed=given.like.seed,
        extra=[Source.made(**warm_up)] if warm_up else [],
    )
    if empty := [name for name, rows in drawn.sets.items() if not rows]:
        raise UserError(
            f"too few problems: {len(whole.kept)} are left after curation, and {empty[0]!r} would get none",
            where=str(given.reading.path),
            hint=_why(whole),
        )
    counts = {name: len(rows) for name, rows in drawn.sets.items()} if whole.whole else {}
    return counts, measure(drawn.sets["traces"], given.looked.tokenizer, suffix)


def _batch(like: Recipe, traces: int) -> int:
    """Rows of an SFT batch: the followed recipe's, where they leave some steps to each epoch."""
    sft = next((stage for stage in like.stages.values() if isinstance(stage, SftStage)), None)
    return min(int(sft.trl_value("per_device_train_batch_size")) if sft else 4, max(1, traces // 4))


def _dtype(looked: Looked) -> str:
    import torch

    return "bfloat16" if torch.cuda.is_available() or looked.parameters > 2e9 else "float32"


def _of_curation(whole: Curated, console: Console) -> list[str]:
    """Say what curation keeps and leaves out; return what the recipe should repeat."""
    scored, traced = len(whole.sets["scored"]), len(whole.sets["traces"])
    part = "" if whole.whole else "first "
    console.say(
        f"       {len(whole.kept):,} of its {part}{whole.read:,} rows stay after curation: {scored:,} with something "
        f"to verify a response by, {traced:,} with a worked trace"
    )
    found = []
    for reason, row, detail in whole.examples:
        line = f"{whole.reasons[reason]:,} left out: {reason} (row {row}" + (f": {detail})" if detail else ")")
        console.say(f"       {line}")
        found.append(line)
    for reason, number in whole.stripped.items():
        line = f"{number:,} stay without their trace: {reason}"
        console.say(f"       {line}")
        found.append(line)
    return found


def _of_columns(reading: Reading) -> list[str]:
    """What was guessed against a column's name."""
    return [why for why in reading.guess.why if "is read as" in why or "left out" in why]


def _why(whole: Curated) -> str:
    told = ", ".join(f"{reason} {number}" for reason, number in whole.reasons.items())
    return f"left out: {told}; `ringlite data check` shows them" if told else "give a file with more rows"


def _facts(given: Given, whole: Curated, lengths: Lengths) -> list[str]:
    kept = f"{len(whole.kept):,} of {'' if whole.whole else 'the first '}{whole.read:,} rows are left by curation"
    unit = "tokens, guessed from characters" if lengths.guessed else "tokens, with template and suffix"
    return [
        f"Model: {given.looked.name} ({given.looked.in_words}).",
        f"Data: {given.reading.path}, {given.reading.guess.in_words}; {kept}.",
        f"Prompts: {spread(lengths.prompts)} {unit}. Traces: {spread(lengths.traces)}.",
    ]


def _unknown(looked: Looked, lengths: Lengths) -> list[str]:
    found = [f"could not be found out: {text}" for text in looked.unknown]
    if not lengths.traces:
        found.append("how long responses get could not be guessed, without traces: max_completion_length is a guess")
    return found
