"""The samples of an SFT stage: made of its problems, checked by reading them back, and counted.

Nothing is cut in silence: a trace that does not fit is left out and counted, or cut where the recipe asks for it.
"""

import random
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ringlite_cli.chat.templates import date_argument
from ringlite_cli.chat.training import SampleMaker, TrainingSample, is_unwritable, misread
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem

if TYPE_CHECKING:
    from datasets import Dataset

SHOWN = 3
"""Samples that are kept whole, to be shown."""

TOO_LONG, UNWRITABLE = "too long", "not in the tokenizer's letters"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sample may be. context: positions of the model, None without bound. max_length: of the recipe, or None.

    truncate: whether longer samples are cut at their end. max_left_out: the share that may be left out.
    """

    context: int | None = None
    max_length: int | None = None
    truncate: bool = False
    max_left_out: float = 0.1

    @property
    def tokens(self) -> int | None:
        """Return the longest sample that is trained; None without bound."""
        return min((n for n in (self.context, self.max_length) if n), default=None)


@dataclass
class Samples:
    """The samples in the order of training, and what was counted on the way."""

    ids: list["array[int]"] = field(default_factory=list)
    prompt_tokens: list[int] = field(default_factory=list)  # of each sample
    left_out: Counter[str] = field(default_factory=Counter)
    how: Counter[str] = field(default_factory=Counter)
    spelled: Counter[str] = field(default_factory=Counter)
    unverified: int = 0
    cut: int = 0
    longest: int = 0  # of all samples, before any was left out or cut
    shown: list[TrainingSample] = field(default_factory=list)
    most_shown: int = SHOWN
    loss_on_prompts: bool = False  # beside that on responses; a sample's first token never has one
    dated: str | None = None  # see ringlite_cli.chat.templates.date_argument

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def longest_kept(self) -> int:
        return max(map(len, self.ids), default=0)

    @property
    def trained_tokens(self) -> int:
        """Return the tokens that carry loss in one epoch."""
        return sum(self.with_loss(len(ids), n) for ids, n in zip(self.ids, self.prompt_tokens, strict=True))

    def with_loss(self, tokens: int, of_prompt: int) -> int:
        """Return how many tokens of a sample carry loss."""
        return tokens - 1 if self.loss_on_prompts else tokens - of_prompt

    def add(self, sample: TrainingSample) -> None:
        self.ids.append(array("i", sample.input_ids))
        self.prompt_tokens.append(len(sample.prompt_ids))
        self.how[sample.how] += 1
        self.spelled.update(sample.spelled)
        self.cut += sample.cut
        if len(self.shown) < self.most_shown:
            self.shown.append(sample)

    def account(self, limits: Limits) -> dict[str, Any]:
        """Return what the stage tells of its samples, as JSON."""
        return {
            "samples": len(self),
            "prompt_tokens": sum(self.prompt_tokens),
            "trained_tokens": self.trained_tokens,
            "loss_on_prompts": self.loss_on_prompts,
            "longest": self.longest,
            "limit": limits.tokens,
            "left_out": dict(self.left_out),
            "cut": self.cut,
            "how": dict(self.how),
            "spelled_specials": dict(self.spelled),
            "unverified": self.unverified,
            "dated": self.dated,
            "shown": [
                {
                    "id": sample.id,
                    "domain": sample.domain,
                    "prompt": sample.prompt,
                    "response": sample.response,
                    "prompt_tokens": len(sample.prompt_ids),
                    "trained_tokens": self.with_loss(sample.tokens, len(sample.prompt_ids)),
                    "how": sample.how,
                    "cut": sample.cut,
                }
                for sample in self.shown
            ],
        }


def make_samples(
    problems: Sequence[Problem], maker: SampleMaker, limits: Limits, seed: int, *, shown: int = SHOWN
) -> Samples:
    """Return the samples of all problems that have a trace, in a seeded order.

    TRL packs rows that stand near each other, longest first: in the order of the data set, one packed row would hold
    one domain and one length, and a step would see little else.
    Raises UserError for no traces, for a sample that does not read back as it was given, and where too many samples
    are left out.
    """
    traced = [problem for problem in problems if problem.trace]
    if not traced:
        raise UserError("no problem has a worked trace to train on", where="sft.data", hint="name a set with traces")
    random.Random(seed).shuffle(traced)
    made = Samples(most_shown=shown, dated=date_argument(maker.tokenizer))
    for problem in traced:
        sample = _fitted(_made(maker, problem), limits, made)
        if sample is not None and (fault := misread(maker.tokenizer, sample)):
            if not is_unwritable(maker.tokenizer, sample):
                raise UserError(
                    f"the sample would be trained with another text than it has: {fault}",
                    where=f"problem {problem.id}",
                    hint="mend the tokenizer or the chat template (`ringlite show RECIPE --stage sft` prints samples)",
                )
            made.left_out[UNWRITABLE] += 1
            sample = None
        if sample is not None:
            made.add(sample)
            made.unverified += problem.labels.get("verified_by") == "none"
    _check_left_out(made, len(traced), limits)
    return made


def _made(maker: SampleMaker, problem: Problem) -> TrainingSample:
    try:
        return maker.make(problem)
    except UserError as error:
        raise UserError(error.what, where=f"problem {problem.id}", hint=error.hint) from None


def _fitted(sample: TrainingSample, limits: Limits, made: Samples) -> TrainingSample | None:
    """Return the sample if it fits, or what is left of it if it is to be cut; None, counted, if it is left out."""
    made.longest = max(made.longest, sample.tokens)
    limit = limits.tokens
    if limit is None or sample.tokens <= limit:
        return sample
    room = limit - len(sample.prompt_ids)
    if limits.truncate and room > 0:
        return replace(sample, response_ids=sample.response_ids[:room], cut=True)
    made.left_out[TOO_LONG] += 1
    return None


def _check_left_out(made: Samples, count: int, limits: Limits) -> None:
    left_out = made.left_out.total()
    if len(made) and left_out <= limits.max_left_out * count:
        return
    of_recipe = limits.max_length is not None and limits.tokens == limits.max_length
    bound = f"max_length is {limits.tokens:,}" if of_recipe else f"the model's context is {limits.tokens or 0:,} tokens"
    reasons = " and ".join(f"{n} {reason}" for reason, n in made.left_out.items())
    raise UserError(
        f"{left_out} of {count} samples would be left out ({reasons}): {bound}, the longest has {made.longest:,}",
        where="sft",
        hint=("raise trl.max_length, " if of_recipe else "take a model with a longer context, ")
        + "set `truncate: true` to train on cut samples, or raise max_left_out",
    )


def as_dataset(samples: Samples) -> "Dataset":
    """Return the samples as TRL takes tokens: `input_ids`, and `labels` that are -100 where no loss is."""
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset

    lengths = np.array([len(ids) for ids in samples.ids], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.concatenate([np.frombuffer(ids, dtype=np.int32) for ids in samples.ids])
    labels = flat.copy()
    if not samples.loss_on_prompts:
        for start, tokens in zip(offsets, samples.prompt_tokens, strict=False):
            labels[start : start + tokens] = -100
    columns = {
        name: pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
        for name, values in (("input_ids", flat), ("labels", labels))
    }
    return Dataset(pa.table(columns))


def check_rows(rows: Any, samples: Samples) -> None:
    """Raise UserError unless TRL's rows hold each sample once and whole, packed or not."""
    found: Counter[int] = Counter()
    for row in rows:
        start = 0
        for length in row.get("seq_lengths") or [len(row["input_ids"])]:
            found[hash(tuple(row["input_ids"][start : start + length]))] += 1
            start += length
    if found != Counter(hash(tuple(ids)) for ids in samples.ids):
        raise UserError(
            "the rows that TRL made do not hold each sample whole", where="sft.trl", hint="use packing: true or false"
        )


def said(account: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a user has to know of the samples, a line each."""
    for name, state in (("rows_unreadable", "can't be read"), ("rows_without_trace", "have no trace")):
        if account.get(name):
            yield f"{account[name]} of {account['rows']} rows {state}"
    for reason, count in account["left_out"].items():
        limit = f" (longest {account['longest']:,}, limit {account['limit']:,} tokens)" if reason == TOO_LONG else ""
        yield f"{count} of {account['samples'] + sum(account['left_out'].values())} samples left out: {reason}{limit}"
    if account["cut"]:
        yield f"{account['cut']} samples cut at {account['limit']:,} tokens: no end token is trained for them"
    words = {
        "wrapped": "plain traces put between the model's thinking tags, the final answer behind them (thinking: as-is "
        "trains them as they are)",
        "thoughtless": "plain traces of general rows behind an empty thought: answers without reasoning",
        "retagged": "traces whose thought was put between the model's own tags",
        "unthinking": "plain traces behind a prompt that opens a thought, which none of them ends",
        "thinking after all": "traces with a thought behind a prompt that says there is none (chat_template_kwargs: "
        "{enable_thinking: true} asks for one)",
    }
    for how, count in account["how"].items():
        if how in words:
            yield f"{count} {words[how]}"
    for token, count in account["spelled_specials"].items():
        yield f"{count} samples spell out {token}: it is trained as text"
    if (argument := account.get("dated")) is not None:
        fix = f"chat_template_kwargs: {{{argument}: ...}}" if argument else "a `chat_template` of your own"
        yield f"the chat template writes today's date into prompts, so another day asks otherwise; {fix} fixes it"
    if account["unverified"]:
        yield f"{account['unverified']} traces that no verifier has confirmed (verified_by: none)"
