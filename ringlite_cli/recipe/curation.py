"""The stage `curate` of a recipe: sources, sets, and what is asked of models."""

import codecs
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ringlite_cli.errors import near
from ringlite_cli.own_code import OwnCode, is_own
from ringlite_cli.problems import ROUTES
from ringlite_cli.recipe.endpoint import EndpointSettings
from ringlite_cli.recipe.key_classes import objective, operational
from ringlite_cli.recipe.model import Dtype
from ringlite_cli.recipe.section import Condition, Domain, Part, Positive, Probability, Section, Shares, several, whole
from ringlite_cli.samples import BATCH_TOKENS


def _known_verifier(name: str) -> str:
    if name not in ROUTES and not is_own(name):
        meant = near(name, ROUTES)
        raise ValueError(
            f"{name!r} is not a verifier; {meant}{' ' * bool(meant)}verifiers are {', '.join(ROUTES)}, or module:object"
        )
    return name


def _known_encoding(name: str) -> str:
    try:
        if "".encode(name) is not None:
            return codecs.lookup(name).name
    except LookupError:
        pass
    raise ValueError(f"{name!r} is no encoding of text that Python knows; write utf-8, gb18030, cp1252, ...")


Verifier = Annotated[str, AfterValidator(_known_verifier), OwnCode("a reward")]
AdapterName = Annotated[str, OwnCode("an adapter")]
Split = Literal["train", "select", "eval"]
Language = Literal["en", "fr", "de", "es", "pt", "it", "zh", "ja", "ko", "ru", "ar", "he", "hi", "th"]


GYM = "reasoning-gym"
"""The name of the sources whose problems it makes."""


class Source(Section):
    """Rows to curate: exactly one of generator, gym, path or hub."""

    generator: str | None = objective(None, description="name of a generator, which makes the problems")
    gym: dict[str, dict[str, Any] | None] | None = objective(
        None,
        description="logic games of reasoning-gym: name -> fields of its difficulty, as {countdown: {max_numbers: 4}}",
    )
    options: dict[str, Any] = objective(
        {}, description="settings of the generator; of gym: prompt (full or short), careful, traces"
    )
    seed: Annotated[int, Field(ge=0)] | None = objective(
        None, description="seed of a gym source's problems; default: the recipe's"
    )
    path: str | None = objective(
        None, description="json, jsonl, csv, tsv, parquet or arrow file (gz, zst, bz2, xz too), folder or glob"
    )
    hub: str | None = objective(None, description="Hugging Face data set id")
    revision: str | None = objective(None, description="full commit of the hub data set; without it a warning")
    subset: str | None = objective(None, description="configuration of the hub data set")
    hub_split: str = objective("train", description="split of the hub data set, or of a folder that holds several")
    local: str | None = operational(
        None, description="file or folder under $RINGLITE_DATA that stands in for the hub id"
    )
    encoding: Annotated[str, AfterValidator(_known_encoding)] | None = objective(
        None, description="encoding of its text, as gb18030 or cp1252; default: UTF-8, or as a byte order mark says"
    )
    adapter: AdapterName | None = objective(
        None, description="a known schema (gsm8k, math, ...) or module:object; default: ringlite's own fields"
    )
    columns: dict[str, str] = objective(
        {}, description="our field -> column, path or joined text, for any other schema"
    )
    turns: Literal["last", "all"] = objective("last", description="answers of a conversation that become rows")
    card: str | None = operational(
        None, description="data card of the source; default: the shipped one of its id or adapter"
    )
    domain: Domain | None = objective(None, description="domain of every row; default: as the rows or the adapter say")
    verifier: Verifier | None = objective(None, description="what verifies all its rows, in place of their domain's")
    split: Split | Annotated[dict[Split, Probability], AfterValidator(whole)] = objective(
        "train", description="split of all its rows, or shares of several"
    )
    rows: Positive | None = objective(None, description="rows to make, or to read at most; default: all of a file")

    @model_validator(mode="after")
    def _one_origin(self) -> "Source":
        maker = "generator" if self.generator else "gym"
        if self.is_made and isinstance(self.split, dict):
            raise ValueError(f"a {maker} makes each split apart; name one split, and the {maker} once for each")
        if self.split == {}:
            raise ValueError("split names no split; give shares, as in {train: 0.9, eval: 0.1}")
        given = [name for name in ("generator", "gym", "path", "hub") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of generator, gym, path or hub" + several(given))
        if self.is_made and self.rows is None:
            raise ValueError(f"a {maker} needs rows, the number of problems to make")
        if self.gym is None and self.seed is not None:
            raise ValueError("seed is of a gym source; everything else is drawn by the recipe's seed")
        if self.gym is not None:
            self._check_gym(self.gym)
        return self

    def _check_gym(self, games: dict[str, dict[str, Any] | None]) -> None:
        if not games:
            raise ValueError("gym names no game; write {countdown: {}, maze: {}}, say")
        if self.rows is not None and self.rows < len(games):
            raise ValueError(f"{self.rows} rows are too few for {len(games)} games; each gives its share")
        if self.verifier is not None:
            raise ValueError("rows of gym are verified by reasoning-gym's own scorers; take verifier out")

    @property
    def is_made(self) -> bool:
        """Return whether its problems are made on the spot."""
        return self.generator is not None or self.gym is not None

    @property
    def route(self) -> str | None:
        """The verifier that all its rows go to; None where they go by their domains."""
        return "logic-gym" if self.gym is not None else self.verifier

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that its rows go to."""
        return tuple(self.split) if isinstance(self.split, dict) else (self.split,)

    @property
    def name(self) -> str:
        return str(self.generator or (GYM if self.gym is not None else self.hub or self.path))


SetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""A set's name: the name of a file in the stage's folder."""


class ProblemSet(Section):
    """A named output of curation, drawn from one split."""

    split: Split = objective("train", description="the split that the rows are drawn from")
    where: dict[str, Condition] = objective({}, description="label -> accepted values, or [low, high] of a number")
    rows: dict[Part, Positive] | None = objective(
        None, description="rows per domain or label; default: all that is left"
    )
    mix: Shares | None = objective(None, description="shares per domain or label, instead of rows (§2)")
    total: Positive | None = objective(None, description="rows of a mix; default: as many as the shares allow")
    traces: bool = objective(False, description="only problems with a worked trace (for SFT)")
    disjoint_from: list[str] = objective([], description="sets whose problems may not stand in this one")

    @model_validator(mode="after")
    def _rows_or_mix(self) -> "ProblemSet":
        if self.rows is not None and self.mix is not None:
            raise ValueError("give rows or mix, not both")
        if self.total is not None and self.mix is None:
            raise ValueError("total needs mix, the shares per domain; or give rows")
        return self


class Responder(EndpointSettings):
    """A model that is asked: a folder or hub id, one behind an OpenAI-compatible endpoint, or the run's own policy."""

    path: str | None = objective(None, description="Hugging Face id or local folder")
    policy: str | None = objective(None, description="the stage of the recipe whose policy is asked (sft, select, rl)")
    dtype: Dtype = objective("auto", description="number format of a local model")
    endpoint: str | None = operational(None, description="base URL, up to and with /v1")
    thought_opened: str = objective("", description="the tag of the thought that the endpoint's chat template opens")
    chat_template_kwargs: dict[str, Any] = objective(
        {}, description="arguments of the endpoint's chat template, where its server takes them (vLLM, SGLang)"
    )
    price_in: float = operational(0, ge=0, description="price of a million prompt tokens, for the estimate")
    price_out: float = operational(0, ge=0, description="price of a million response tokens")
    max_completion_length: Positive = objective(4096, description="tokens that a response may have")
    temperature: float = objective(1.0, ge=0, description="0: always the likeliest token")
    top_p: float = objective(1.0, gt=0, le=1, description="share of the probability that tokens are drawn from")
    batch_tokens: Positive = operational(BATCH_TOKENS, description="tokens of a batch of a local model")

    @model_validator(mode="after")
    def _one_place(self) -> "Responder":
        given = [name for name in ("path", "endpoint", "policy") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of path, endpoint or policy" + several(given))
        if self.endpoint and not self.model:
            raise ValueError("endpoint needs model, the name that it knows the model by")
        if not self.endpoint and self.chat_template_kwargs:
            raise ValueError("chat_template_kwargs are an endpoint's; a local model is asked by its own template")
        return self

    @property
    def name(self) -> str:
        return str(self.model or self.path or self.policy)


class Difficulty(Section):
    """Pass rates by model (§2, phase 2 and 3): k responses a problem, verified as rewards are."""

    models: list[Responder] = objective(min_length=1, description="models that are asked, in this order")
    num_generations: Positive = objective(8, description="responses per problem and model")
    domains: list[Domain] | None = objective(None, description="domains that are asked; default: all")
    drop_all_right: bool = objective(True, description="drop what the first model always solves")
    drop_never_right: bool = objective(True, description="drop what no model ever solves")


class Distill(Section):
    """Long chains of thought from a teacher, rejected by the verifiers (§2); rounds go on with what is left."""

    teacher: Responder = objective(description="the model that writes the traces")
    num_generations: Positive = objective(4, description="responses per problem and round")
    rounds: Positive = objective(2, description="times that a problem without a trace is asked")
    domains: list[Domain] | None = objective(None, description="domains that are asked; default: all")
    replace: bool = objective(False, description="ask for problems too that have a trace already")


class Duplicates(Section):
    """How copies are found beyond equal text."""

    words: bool = objective(
        False, was=(1, True), description="drop rows equal in words and numbers though signs or answers differ"
    )
    semantic: Probability | None = objective(
        None, description="cosine from which two prompts are one (extra `semantic`)"
    )


class Decontamination(Section):
    """How held-out problems are found beyond shared 8-grams."""

    semantic: Probability | None = objective(None, description="cosine from which a prompt is a held-out one")


class CodeTests(Section):
    """What is done with the tests of code problems beyond the checks."""

    require_solution: bool = objective(True, description="drop code problems without an accepted solution")
    order: bool = objective(
        False, description="put the cases first that catch most of the programs that the source knows to be wrong"
    )


class Labels(Section):
    """How labels are made where the source gives none: by the words of the prompt, and by what stands here."""

    embeddings: bool = objective(False, description="subject or topic by the nearest class (extra `semantic`)")
    model: Responder | None = objective(None, description="a model that is asked for subject or topic, and level")


class CurateStage(Section):
    kind: Literal["curate"] = objective(description="curate")
    sources: list[Source] = objective(min_length=1, description="where the problems come from")
    sets: dict[SetName, ProblemSet] = objective(min_length=1, description="named outputs, as in `data: curate.math`")
    max_unreadable: float = operational(0.2, ge=0, lt=1, description="share of a source's rows that may be unreadable")
    languages: list[Language] = objective(["en"], min_length=1, description="languages of prompts that are kept")
    workers: Positive | None = operational(None, description="processes for the text steps; default: the cores at hand")
    duplicates: Duplicates = objective(Duplicates(), description="how copies are found")
    doubtful: Literal["drop", "keep"] = objective(
        "drop", description="rows whose answer something speaks against; kept ones are labelled `doubtful` and listed"
    )
    decontamination: Decontamination = objective(
        Decontamination(), description="how held-out problems are found among those for training"
    )
    tests: CodeTests = objective(CodeTests(), description="what is done with the tests of code problems")
    difficulty: Difficulty | None = objective(None, description="measure pass rates; default: not measured")
    distill: Distill | None = objective(None, description="let a teacher write traces; default: none are written")
    labels: Labels = objective(Labels(), description="how subjects, topics and levels are told")

    def asked(self) -> dict[str, Responder]:
        """Return each model that curation asks, by its key in the section; parts with faults are left out."""
        models = self.difficulty.models if isinstance(self.difficulty, Difficulty) else []
        found: dict[str, Responder | None] = {f"difficulty.models.{n}": each for n, each in enumerate(models)}
        found["distill.teacher"] = self.distill.teacher if isinstance(self.distill, Distill) else None
        found["labels.model"] = self.labels.model if isinstance(self.labels, Labels) else None
        return {key: each for key, each in found.items() if isinstance(each, Responder)}

    @property
    def asks_local_models(self) -> bool:
        """Return whether a model that the recipe's engine loads is asked anything."""
        return any(not responder.endpoint for responder in self.asked().values())
