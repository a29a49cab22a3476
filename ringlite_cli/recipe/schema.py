"""What a recipe may say: one pydantic section per part, unknown keys refused everywhere.

Sections check themselves; what needs two sections at once (references, cycles, sets that no stage produces) is
checked in `graph.py`, and TRL's own fields in `trl_fields.py`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, PrivateAttr, Tag, model_validator

from ringlite_cli.own_code import OwnCode, is_own
from ringlite_cli.problems import DEFAULT_SUFFIX, ROUTES
from ringlite_cli.recipe.c3po import PACKING, OwnObject, Packing, RlSettings
from ringlite_cli.recipe.endpoint import EndpointSettings
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.key_classes import objective, operational, tunable
from ringlite_cli.recipe.section import Condition, Domain, Part, Positive, Probability, Section
from ringlite_cli.recipe.trl_fields import trl_default
from ringlite_cli.thoughts import TAGS

Dtype = Literal["float32", "bfloat16", "auto"]


def _known_verifier(name: str) -> str:
    if name not in ROUTES and not is_own(name):
        raise ValueError(f"{name!r} is not a verifier; verifiers are {', '.join(ROUTES)}, or module:object")
    return name


Verifier = Annotated[str, AfterValidator(_known_verifier), OwnCode("a reward")]
AdapterName = Annotated[str, OwnCode("an adapter")]
TaskName = Annotated[str, OwnCode("a Task")]
Split = Literal["train", "select", "eval"]
Language = Literal["en", "fr", "de", "es", "pt", "it", "zh", "ja", "ko", "ru", "ar", "he", "hi", "th"]


class NewModel(Section):
    """A model made on the spot from an architecture that transformers ships, with a tokenizer trained on the traces."""

    vocab_size: int = objective(
        512, ge=280, description="upper bound of the tokenizer's size (256 bytes + 24 at least)"
    )
    config: dict[str, Any] = objective(description="fields of the transformers config; model_type is required")

    @model_validator(mode="after")
    def _has_type(self) -> "NewModel":
        if not isinstance(self.config.get("model_type"), str):
            raise ValueError("config needs a model_type (for example ernie4_5_moe)")
        return self


class Model(Section):
    """Where the policy comes from: exactly one of path, package (with gguf_file) or new."""

    path: str | None = objective(None, description="Hugging Face id or local folder")
    revision: str | None = objective(None, description="commit or tag of the model on the hub; default: the newest")
    adapter: str | None = objective(
        None, description="folder of an adapter (peft) that is merged into the model of path"
    )
    package: str | None = objective(None, description="an installed Python package that carries the weights")
    gguf_file: str | None = objective(None, description="the GGUF file in the package or folder")
    new: NewModel | None = objective(None, description="make a model from scratch")
    dtype: Dtype = objective("auto", description="number format that is computed with; auto: that of the weights")
    attn_implementation: str | None = objective(
        None, description="attention of transformers; default: the one for packed rows on this device"
    )
    trust_remote_code: bool = objective(False, description="run the Python code that is published with the weights")
    allow_pickle: bool = operational(False, description="load weights that are no safetensors; unpickling can run code")

    @model_validator(mode="after")
    def _one_origin(self) -> "Model":
        if sum(x is not None for x in (self.path, self.package, self.new)) != 1:
            raise ValueError("give exactly one of path, package or new")
        if self.package and not self.gguf_file:
            raise ValueError("package needs gguf_file, the weights' file name in it")
        if self.adapter and (not self.path or self.gguf_file):
            raise ValueError("adapter needs path, the base model that it was trained on, without gguf_file")
        return self


class Rewards(Section):
    """How responses are verified."""

    workers: Positive = operational(2, description="processes that verify, of each kind")
    math_timeout: float = objective(5.0, gt=0, description="seconds of wall time a math check may take")
    code_timeout: float = objective(4.0, gt=0, description="CPU seconds that one test of a program may take")
    memory_mb: Positive = objective(512, description="MiB of memory that a program in the sandbox may take")
    science_tolerance: float = objective(
        0.01, ge=0, description="relative error that a numeric science answer may have"
    )
    isolation: Literal["full", "partial", "none"] = operational(
        "full", description="the least sandbox isolation accepted"
    )
    packages: list[str] = objective(
        ["sortedcontainers", "numpy"],
        description="installed packages that programs in the sandbox may import; these two where they are installed",
    )
    trust_compiled_tests: bool = objective(
        False, description="run C++ and Java tests of mode unit in eval, though a program can forge their end"
    )
    judge_url: str = operational("", description="OpenAI-compatible address, with /v1, of the verifier `judge`")
    judge_model: str = objective("", description="the model that judges there")
    judge_timeout: float = objective(
        60.0, gt=0, description="seconds that a judge, a reward model or a reward of your own may take"
    )
    reward_model: str = objective("", description="sequence-classification model of the verifier `reward-model`")
    thought_tags: list[tuple[str, str]] = objective(
        list(TAGS), description="pairs of tags that open and close a thought; an answer counts after the last one"
    )
    answer_in_thought: bool = objective(False, description="whether an answer counts that stands only inside a thought")


class Source(Section):
    """Rows to curate: exactly one of generator, path or hub."""

    generator: str | None = objective(None, description="name of a generator, which makes the problems")
    options: dict[str, Any] = objective({}, description="settings of the generator")
    path: str | None = objective(None, description="json, jsonl, csv, parquet or arrow file (gz too), folder or glob")
    hub: str | None = objective(None, description="Hugging Face data set id")
    revision: str | None = objective(None, description="full commit of the hub data set; without it a warning")
    subset: str | None = objective(None, description="configuration of the hub data set")
    hub_split: str = objective("train", description="split of the hub data set, or of a folder that holds several")
    local: str | None = operational(
        None, description="file or folder under $RINGLITE_DATA that stands in for the hub id"
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
    split: Split | dict[Split, Probability] = objective(
        "train", description="split of all its rows, or shares of several"
    )
    rows: Positive | None = objective(None, description="rows to make, or to read at most; default: all of a file")

    @model_validator(mode="after")
    def _one_origin(self) -> "Source":
        if self.generator and isinstance(self.split, dict):
            raise ValueError("a generator makes each split apart; name one split, and the generator once for each")
        if self.split == {}:
            raise ValueError("split names no split; give shares, as in {train: 0.9, eval: 0.1}")
        if sum(x is not None for x in (self.generator, self.path, self.hub)) != 1:
            raise ValueError("give exactly one of generator, path or hub")
        if self.generator and self.rows is None:
            raise ValueError("a generator needs rows, the number of problems to make")
        return self

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that its rows go to."""
        return tuple(self.split) if isinstance(self.split, dict) else (self.split,)

    @property
    def name(self) -> str:
        return str(self.generator or self.hub or self.path)


SetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""A set's name: the name of a file in the stage's folder."""


class ProblemSet(Section):
    """A named output of curation, drawn from one split."""

    split: Split = objective("train", description="the split that the rows are drawn from")
    where: dict[str, Condition] = objective({}, description="label -> accepted values, or [low, high] of a number")
    rows: dict[Part, Positive] | None = objective(
        None, description="rows per domain or label; default: all that is left"
    )
    mix: dict[Part, Probability] | None = objective(
        None, description="shares per domain or label, instead of rows (§2)"
    )
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
    """A model that is asked for responses: a folder or hub id, or a model behind an OpenAI-compatible endpoint."""

    path: str | None = objective(None, description="Hugging Face id or local folder")
    dtype: Dtype = objective("auto", description="number format of a local model")
    endpoint: str | None = operational(None, description="base URL, up to and with /v1")
    thought_opened: str = objective("", description="the tag of the thought that the endpoint's chat template opens")
    price_in: float = operational(0, ge=0, description="price of a million prompt tokens, for the estimate")
    price_out: float = operational(0, ge=0, description="price of a million response tokens")
    max_new_tokens: Positive = objective(4096, description="tokens that a response may have")
    temperature: float = objective(1.0, ge=0, description="0: always the likeliest token")
    top_p: float = objective(1.0, gt=0, le=1, description="share of the probability that tokens are drawn from")
    batch_tokens: Positive = objective(65536, description="tokens of a batch of a local model")

    @model_validator(mode="after")
    def _one_place(self) -> "Responder":
        if (self.path is None) == (self.endpoint is None):
            raise ValueError("give exactly one of path or endpoint")
        if self.endpoint and not self.model:
            raise ValueError("endpoint needs model, the name that it knows the model by")
        return self

    @property
    def name(self) -> str:
        return str(self.model or self.path)


class Difficulty(Section):
    """Pass rates by model (§2, phase 2 and 3): k responses a problem, verified as rewards are."""

    models: list[Responder] = objective(min_length=1, description="models that are asked, in this order")
    samples: Positive = objective(8, description="responses per problem and model")
    domains: list[Domain] | None = objective(None, description="domains that are asked; default: all")
    drop_all_right: bool = objective(True, description="drop what the first model always solves")
    drop_never_right: bool = objective(True, description="drop what no model ever solves")


class Distill(Section):
    """Long chains of thought from a teacher, rejected by the verifiers (§2); rounds go on with what is left."""

    teacher: Responder = objective(description="the model that writes the traces")
    samples: Positive = objective(4, description="responses per problem and round")
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
    order: bool = objective(False, description="put the cases first that catch most wrong programs")
    mutants: Positive = objective(6, description="small faults put into the accepted solution, to order the cases by")


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

    @property
    def asks_local_models(self) -> bool:
        """Whether a model that the recipe's engine loads is asked anything."""
        asked = [*(self.difficulty.models if self.difficulty else ()), self.labels.model]
        asked.append(self.distill.teacher if self.distill else None)
        return any(responder is not None and responder.path for responder in asked)


class TraceSource(Section):
    """Worked traces that SFT reads without a curate stage: exactly one of path or hub. No verifier confirms them."""

    path: str | None = objective(None, description="json, jsonl, csv, parquet or arrow file (gz too), folder or glob")
    hub: str | None = objective(None, description="Hugging Face data set id")
    revision: str | None = objective(None, description="full commit of the hub data set")
    subset: str | None = objective(None, description="configuration of the hub data set")
    hub_split: str = objective("train", description="split of the hub data set, or of a folder that holds several")
    local: str | None = operational(
        None, description="file or folder under $RINGLITE_DATA that stands in for the hub id"
    )
    adapter: str | None = objective(
        None, description="a known schema; default: conversations, or prompts and responses"
    )
    columns: dict[str, str] = objective(
        {}, description="our field -> column, path or joined text, for any other schema"
    )
    turns: Literal["last", "all"] = objective("last", description="answers of a conversation that are trained")
    domain: Domain | None = objective(None, description="domain of every row; default: as the rows say, or general")
    rows: Positive | None = objective(None, description="rows to read at most; default: all")
    max_unreadable: float = operational(0.2, ge=0, lt=1, description="share of the rows that may be unreadable")

    @model_validator(mode="after")
    def _one_origin(self) -> "TraceSource":
        if (self.path is None) == (self.hub is None):
            raise ValueError("give exactly one of path or hub, or name a curated set, as curate.traces")
        return self


SetOrTraces = Annotated[
    Annotated[str, Tag("(set)")] | Annotated[TraceSource, Tag("(source)")],
    Discriminator(lambda value: "(source)" if isinstance(value, Mapping | TraceSource) else "(set)"),
]


class SftStage(Section):
    kind: Literal["sft"] = objective(description="sft")
    data: SetOrTraces = objective(description="set of worked traces, as curate.traces; or {path} or {hub} of one")
    policy: str | None = objective(
        None, description="the stage whose policy is trained on; default: the recipe's model"
    )
    checkpoints_per_epoch: Positive = tunable(1, description="checkpoints of an epoch that select may pick from")
    packing: Packing = objective("auto", description=PACKING)
    truncate: bool = objective(False, description="cut samples that do not fit; default: they are left out and counted")
    max_left_out: float = operational(0.1, ge=0, lt=1, description="share of the samples that may be left out")
    trl: dict[str, Any] = objective({}, description="fields of TRL's SFTConfig")

    def trl_value(self, name: str) -> Any:
        """Return an SFTConfig field, as given or TRL's default."""
        return self.trl[name] if name in self.trl else trl_default("SFTConfig", name)


class RlProbe(Section):
    """A short C3PO run from each candidate of a selection, to see how much it gains there."""

    data: str = objective(description="set of problems that the probe trains on, as curate.math")
    steps: Positive = objective(8, description="optimizer steps from each candidate")
    prompts_per_step: Positive = objective(32, description="L: prompts of one optimizer step")
    token_budget: Positive = objective(
        32_768, description="Phi: response tokens that one optimizer step trains (Eq. 2)"
    )
    row_tokens: Positive | None = objective(None, description="length of a packed row; default: what the device holds")
    trl: dict[str, Any] = objective({}, description="fields of TRL's GRPOConfig")

    def settings(self, max_completion_length: int) -> RlSettings:
        """Return the settings of the short run; responses are as long as the selection's where `trl` does not say."""
        return RlSettings(
            prompts_per_step=self.prompts_per_step,
            token_budget=self.token_budget,
            token_budget_scope="global",
            row_tokens=self.row_tokens,
            guard=None,
            trl={"max_completion_length": max_completion_length, **self.trl, "max_steps": self.steps},
        )


class SelectStage(Section):
    kind: Literal["select"] = objective(description="select")
    candidates: str = objective(description="the sft stage whose checkpoints are measured")
    data: str = objective(description="set of problems that they respond to, as curate.select")
    entropy_band: tuple[float, float] = objective(
        (0.3, 0.5), description="wanted entropy, lowest and highest, nats per response token (§4.3.2)"
    )
    rule: Literal["band", "band-then-coverage", "score"] = objective("band", description="how the pick is made")
    samples: Positive = objective(16, description="responses per problem and checkpoint")
    max_new_tokens: Positive = objective(1024, description="tokens that a response may have")
    row_tokens: Positive = objective(8192, description="length of a packed row when entropy is measured")
    batch_tokens: Positive = objective(65536, description="tokens of a batch when responses are drawn")
    rl_probe: RlProbe | None = objective(None, description="measure what a short RL gains from each candidate")

    @model_validator(mode="after")
    def _ordered(self) -> "SelectStage":
        low, high = self.entropy_band
        if not 0 <= low < high:
            raise ValueError(f"entropy_band must be [low, high] with 0 <= low < high, not [{low}, {high}]")
        return self


class RlStage(RlSettings):
    kind: Literal["rl"] = objective(description="rl")
    policy: str = objective(description="the stage whose policy is trained on: sft, select or rl")
    data: str = objective(description="set of problems, as curate.math")


class EvalStage(EvalSettings):
    kind: Literal["eval"] = objective(description="eval")
    policies: list[str] = objective(min_length=1, description="stages whose policies are scored; base: before SFT")
    tasks: list[TaskName] = objective(
        min_length=1,
        description="benchmarks, sets such as curate.eval, module:object, or lm-eval:<task> of lm-evaluation-harness",
    )
    samples: Positive = objective(4, description="k of avg@k")


Stage = CurateStage | SftStage | SelectStage | RlStage | EvalStage
STAGE_SECTIONS: dict[str, type[Stage]] = {
    "curate": CurateStage,
    "sft": SftStage,
    "select": SelectStage,
    "rl": RlStage,
    "eval": EvalStage,
}


class RecipeHead(Section):
    """All of a recipe but its stages."""

    name: str = operational(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="the run's folder below runs/")
    seed: int = objective(17, ge=0, lt=2**31, description="of everything that is drawn at random")
    note: str = operational("", description="shown on top of the report")
    model: Model = objective(description="the model that training starts from")
    prompt_suffix: dict[Domain, str] = objective(DEFAULT_SUFFIX, description="domain -> text after its prompts (§3.3)")
    domains: dict[str, OwnObject] = objective({}, description="further reward domains: name -> module:object, a Domain")
    rewards: Rewards = objective(Rewards(), description="how responses are verified")
    engine: Engine = objective(Engine(), description="what draws responses for select, eval and curation")
    chat_template: str = objective("", description="chat template of all stages, text or a file; default: the model's")
    chat_template_kwargs: dict[str, Any] = objective(
        {}, description="arguments of the chat template in all stages, such as {enable_thinking: false}"
    )
    end_token: str = objective("", description="token that ends a response; default: the one that the template writes")
    thinking: Literal["auto", "wrap", "as-is"] = objective(
        "auto", description="plain traces: put between the model's thinking tags where its template knows them, or not"
    )


class Recipe(RecipeHead):
    """A whole recipe. `stages` keeps the order of the file."""

    stages: dict[str, Stage] = objective(min_length=1, description="name -> stage, in the order of the run")
    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """Where the recipe's file lies, and modules of the user's own beside it; None for one that was no file."""
        return self._folder

    def of_folder(self, folder: Path) -> "Recipe":
        """Return the recipe, as read from a file in this folder."""
        self._folder = folder.resolve()
        return self
