"""What a recipe may say: one pydantic section per part, unknown keys refused everywhere.

Sections check themselves; what needs two sections at once (references, cycles, sets that no stage produces) is
checked in `graph.py`, and TRL's own fields in `trl_fields.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ringlite_cli.problems import DOMAINS, PAPER_SUFFIX, ROUTES
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.thoughts import TAGS


def _known_domain(name: str) -> str:
    if name not in DOMAINS:
        raise ValueError(f"{name!r} is not a domain; domains are {', '.join(DOMAINS)}")
    return name


def _known_verifier(name: str) -> str:
    if name not in ROUTES:
        raise ValueError(f"{name!r} is not a verifier; verifiers are {', '.join(ROUTES)}")
    return name


def _known_part(name: str) -> str:
    return name if "=" in name.strip("= ") else _known_domain(name)


Domain = Annotated[str, AfterValidator(_known_domain)]
Verifier = Annotated[str, AfterValidator(_known_verifier)]
Part = Annotated[str, AfterValidator(_known_part)]  # of a mix: a domain, or a label and its value ("level=5")
Condition = list[bool | str | float] | bool | str | float
Split = Literal["train", "select", "eval"]
Language = Literal["en", "fr", "de", "es", "pt", "it", "zh", "ja", "ko", "ru", "ar", "he", "hi", "th"]
Positive = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewModel(Section):
    """A model made on the spot from an architecture that transformers ships, with a tokenizer trained on the traces."""

    vocab_size: int = Field(512, ge=280, description="upper bound of the tokenizer's size (256 bytes + 24 at least)")
    config: dict[str, Any] = Field(description="fields of the transformers config; model_type is required")

    @model_validator(mode="after")
    def _has_type(self) -> "NewModel":
        if not isinstance(self.config.get("model_type"), str):
            raise ValueError("config needs a model_type (for example ernie4_5_moe)")
        return self


class Model(Section):
    """Where the policy comes from: exactly one of path, package (with gguf_file) or new."""

    path: str | None = Field(None, description="Hugging Face id or local folder")
    revision: str | None = None
    package: str | None = Field(None, description="an installed Python package that carries the weights")
    gguf_file: str | None = Field(None, description="the GGUF file in the package or folder")
    new: NewModel | None = None
    dtype: Literal["float32", "bfloat16", "auto"] = "auto"
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = Field(False, description="load weights that are no safetensors; unpickling can run code")

    @model_validator(mode="after")
    def _one_origin(self) -> "Model":
        if sum(x is not None for x in (self.path, self.package, self.new)) != 1:
            raise ValueError("give exactly one of path, package or new")
        if self.package and not self.gguf_file:
            raise ValueError("package needs gguf_file, the weights' file name in it")
        return self


class Rewards(Section):
    """How responses are verified."""

    workers: Positive = 2
    math_timeout: float = Field(5.0, gt=0, description="seconds of wall time a math check may take")
    code_timeout: float = Field(4.0, gt=0, description="CPU seconds that one test of a program may take")
    memory_mb: Positive = 512
    science_tolerance: float = Field(0.01, ge=0, description="relative error that a numeric science answer may have")
    isolation: Literal["full", "partial", "none"] = Field("full", description="the least sandbox isolation accepted")
    packages: list[str] = Field(
        ["sortedcontainers", "numpy"],
        description="installed packages that programs in the sandbox may import; these two where they are installed",
    )
    judge_url: str = Field("", description="OpenAI-compatible address, with /v1, of the verifier `judge`")
    judge_model: str = Field("", description="the model that judges there")
    judge_timeout: float = Field(60.0, gt=0, description="seconds that a judge or a reward model may take")
    reward_model: str = Field("", description="sequence-classification model of the verifier `reward-model`")
    thought_tags: list[tuple[str, str]] = Field(
        list(TAGS), description="pairs of tags that open and close a thought; an answer counts after the last one"
    )
    answer_in_thought: bool = Field(False, description="whether an answer counts that stands only inside a thought")


class Source(Section):
    """Rows to curate: exactly one of generator, path or hub."""

    generator: str | None = None
    options: dict[str, Any] = {}
    path: str | None = Field(None, description="json, jsonl, csv, parquet or arrow file (gz too), folder or glob")
    hub: str | None = Field(None, description="Hugging Face data set id")
    revision: str | None = None
    subset: str | None = Field(None, description="configuration of the hub data set")
    hub_split: str = Field("train", description="split of the hub data set, or of a folder that holds several")
    local: str | None = Field(None, description="file or folder under $RINGLITE_DATA that stands in for the hub id")
    adapter: str | None = Field(None, description="a known schema (gsm8k, math, ...); default: ringlite's own fields")
    columns: dict[str, str] = Field({}, description="our field -> column, path or joined text, for any other schema")
    turns: Literal["last", "all"] = Field("last", description="answers of a conversation that become rows")
    card: str | None = Field(None, description="data card of the source; default: the shipped one of its id or adapter")
    domain: Domain | None = None
    verifier: Verifier | None = Field(None, description="what verifies all its rows, in place of their domain's")
    split: Split | dict[Split, Probability] = Field("train", description="split of all its rows, or shares of several")
    rows: Positive | None = None

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

    split: Split = "train"
    where: dict[str, Condition] = Field({}, description="label -> accepted values, or [low, high] of a number")
    rows: dict[Part, Positive] | None = Field(None, description="rows per domain or label; default: all that is left")
    mix: dict[Part, Probability] | None = Field(None, description="shares per domain or label, instead of rows (§2)")
    total: Positive | None = Field(None, description="rows of a mix; default: as many as the shares allow")
    traces: bool = Field(False, description="only problems with a worked trace (for SFT)")
    disjoint_from: list[str] = Field([], description="sets whose problems may not stand in this one")

    @model_validator(mode="after")
    def _rows_or_mix(self) -> "ProblemSet":
        if self.rows is not None and self.mix is not None:
            raise ValueError("give rows or mix, not both")
        if self.total is not None and self.mix is None:
            raise ValueError("total needs mix, the shares per domain; or give rows")
        return self


class Responder(Section):
    """A model that is asked for responses: a folder or hub id, or a model behind an OpenAI-compatible endpoint."""

    path: str | None = Field(None, description="Hugging Face id or local folder")
    dtype: Literal["float32", "bfloat16", "auto"] = "auto"
    endpoint: str | None = Field(None, description="base URL, up to and with /v1")
    model: str | None = Field(None, description="the model's name at the endpoint")
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable that holds the endpoint's key")
    concurrency: Positive = Field(8, description="requests under way at a time")
    timeout: float = Field(600, gt=0, description="seconds that one request may take")
    thought_opened: str = Field("", description="the tag of the thought that the endpoint's chat template opens")
    price_in: float = Field(0, ge=0, description="price of a million prompt tokens, for the estimate")
    price_out: float = Field(0, ge=0, description="price of a million response tokens")
    max_new_tokens: Positive = 4096
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    batch_tokens: Positive = 65536

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

    models: list[Responder] = Field(min_length=1)
    samples: Positive = Field(8, description="responses per problem and model")
    domains: list[Domain] | None = Field(None, description="domains that are asked; default: all")
    drop_all_right: bool = Field(True, description="drop what the first model always solves")
    drop_never_right: bool = Field(True, description="drop what no model ever solves")


class Distill(Section):
    """Long chains of thought from a teacher, rejected by the verifiers (§2); rounds go on with what is left."""

    teacher: Responder
    samples: Positive = Field(4, description="responses per problem and round")
    rounds: Positive = 2
    domains: list[Domain] | None = Field(None, description="domains that are asked; default: all")
    replace: bool = Field(False, description="ask for problems too that have a trace already")


class Duplicates(Section):
    """How copies are found beyond equal text."""

    words: bool = Field(False, description="drop rows equal in words and numbers though signs or answers differ")
    semantic: Probability | None = Field(None, description="cosine from which two prompts are one (extra `semantic`)")


class Decontamination(Section):
    """How held-out problems are found beyond shared 8-grams."""

    semantic: Probability | None = Field(None, description="cosine from which a prompt is a held-out one")


class CodeTests(Section):
    """What is done with the tests of code problems beyond the checks."""

    require_solution: bool = Field(True, description="drop code problems without an accepted solution")
    order: bool = Field(False, description="put the cases first that catch most wrong programs")
    mutants: Positive = Field(6, description="small faults put into the accepted solution, to order the cases by")


class Labels(Section):
    """How labels are made where the source gives none: by the words of the prompt, and by what stands here."""

    embeddings: bool = Field(False, description="subject or topic by the nearest class (extra `semantic`)")
    model: Responder | None = Field(None, description="a model that is asked for subject or topic, and level")


class CurateStage(Section):
    kind: Literal["curate"]
    sources: list[Source] = Field(min_length=1)
    sets: dict[SetName, ProblemSet] = Field(min_length=1)
    max_unreadable: float = Field(0.2, ge=0, lt=1, description="share of a source's rows that may be unreadable")
    languages: list[Language] = Field(["en"], min_length=1, description="languages of prompts that are kept")
    workers: Positive | None = Field(None, description="processes for the text steps; default: the cores at hand")
    duplicates: Duplicates = Duplicates()
    doubtful: Literal["drop", "keep"] = Field(
        "drop", description="rows whose answer something speaks against; kept ones are labelled `doubtful` and listed"
    )
    decontamination: Decontamination = Decontamination()
    tests: CodeTests = CodeTests()
    difficulty: Difficulty | None = None
    distill: Distill | None = None
    labels: Labels = Labels()


class SftStage(Section):
    kind: Literal["sft"]
    data: str
    policy: str | None = Field(None, description="the stage whose policy is trained on; default: the recipe's model")
    checkpoints_per_epoch: Positive = 1
    trl: dict[str, Any] = {}


class RlProbe(Section):
    """A short C3PO run from each candidate of a selection, to see how much it gains there."""

    data: str
    steps: Positive = Field(8, description="optimizer steps from each candidate")
    prompts_per_step: Positive = 32
    token_budget: Positive = Field(32_768, description="Phi: response tokens that one optimizer step trains (Eq. 2)")
    row_tokens: Positive | None = Field(None, description="length of a packed row; default: what the device holds")
    trl: dict[str, Any] = {}


class SelectStage(Section):
    kind: Literal["select"]
    candidates: str
    data: str
    entropy_band: tuple[float, float] = (0.3, 0.5)  # nats per response token, §4.3.2
    rule: Literal["band", "band-then-coverage", "score"] = "band"
    samples: Positive = 16
    max_new_tokens: Positive = 1024
    row_tokens: Positive = 8192
    batch_tokens: Positive = 65536
    rl_probe: RlProbe | None = Field(None, description="measure what a short RL gains from each candidate")

    @model_validator(mode="after")
    def _ordered(self) -> "SelectStage":
        low, high = self.entropy_band
        if not 0 <= low < high:
            raise ValueError(f"entropy_band must be [low, high] with 0 <= low < high, not [{low}, {high}]")
        return self


class Lora(Section):
    """An adapter (peft) is trained instead of the weights; the policy is written with it merged."""

    r: Positive = 16
    lora_alpha: Positive = 32
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"


Action = Literal["log", "pause", "rollback"]


class Rule(Section):
    """What the guard does where the rule is broken: log it, pause the run (saved), or go back to a good checkpoint."""

    action: Action = "log"


class EntropyRule(Rule):
    low: float = Field(0.0, ge=0, description="nats per token, mean over the window")
    high: float | None = Field(None, gt=0)


class RewardRule(Rule):
    drop: Probability = Field(0.5, description="share of the best window's mean reward that may be lost")


class GradNormRule(Rule):
    times: float = Field(20.0, gt=1, description="the window's median that a step's gradient norm may reach")


class LengthRule(Rule):
    times: float = Field(4.0, gt=1, description="the first window's mean response length that a later one may reach")
    truncated: Probability = Field(1.0, description="share of truncated responses that a window may reach")


class MismatchRule(Rule):
    above: float = Field(0.2, gt=0, description="nats per token between engine and trainer, mean over the window")


class NotFiniteRule(Rule):
    """A loss, gradient or policy that is no number. Such a run never goes on: log and pause both stop it."""

    action: Action = "rollback"


class Guard(Section):
    """Signs of collapse, looked for over the last steps of an RL run."""

    window: Positive = Field(8, description="optimizer steps that a rule looks at")
    entropy: EntropyRule | None = None
    reward: RewardRule | None = RewardRule()
    grad_norm: GradNormRule | None = GradNormRule()
    length: LengthRule | None = LengthRule()
    mismatch: MismatchRule | None = MismatchRule()
    not_finite: NotFiniteRule = NotFiniteRule()
    lr_factor: Probability = Field(1.0, description="what the learning rate is multiplied by at each rollback")
    max_rollbacks: int = Field(3, ge=0, description="after so many, the run fails instead")


class VllmServer(Section):
    """A vLLM server that an RL stage starts and ends (trl.vllm_mode: server), on GPUs beside the trainer's."""

    gpus: list[Annotated[int, Field(ge=0)]] | None = Field(None, description="default: those after the trainer's")
    tensor_parallel_size: Positive = Field(1, description="GPUs that share one copy of the model")
    data_parallel_size: Positive = Field(1, description="copies of the model; above 1 for mixtures of experts only")
    gpu_memory_utilization: Probability = Field(0.9, description="share of its GPUs' memory that the server takes")
    enforce_eager: bool = Field(False, description="no compiling and no CUDA graphs: a faster start, slower tokens")


class RlStage(Section):
    kind: Literal["rl"]
    policy: str
    data: str
    prompts_per_step: Positive = Field(512, description="L: prompts of one optimizer step (§4.1)")
    token_budget: Positive = Field(409_600, description="Phi: response tokens that one optimizer step trains (Eq. 2)")
    token_budget_scope: Literal["rank", "global"] = "rank"
    cut: Literal["exact", "whole"] = "exact"
    updates_per_rollout: Positive = Field(1, description="disjoint selections, one optimizer step each, per rollout")
    row_tokens: Positive | None = Field(None, description="length of a packed row; default: what the device holds")
    algorithm: Literal["c3po", "grpo", "dapo", "dr_grpo"] = Field("c3po", description="the loss and its divisor")
    budget_schedule: Literal["constant", "linear", "adaptive"] = "constant"
    token_budget_end: Positive | None = Field(None, description="the largest budget of a linear or adaptive schedule")
    budget_steps: int = Field(0, ge=0, description="steps over which a linear budget grows")
    budget_dead_band: float = Field(0.1, ge=0, lt=1, description="relative change that adaptive leaves alone")
    undershoot: Literal["accept", "refill"] = Field("accept", description="what is done where a budget is not filled")
    refill_rounds: Positive = Field(2, description="further rollouts that a step may take to fill its budget")
    sampling: Literal["shuffle", "difficulty"] = Field("shuffle", description="how a step's prompts are drawn")
    rest_rollouts: int = Field(8, ge=0, description="rollouts that a solved prompt rests for (sampling: difficulty)")
    importance_cap: float | None = Field(None, gt=0, description="truncated importance correction of the engine")
    freeze_router: bool = Field(False, description="leave the router's weights as they are")
    lora: Lora | None = None
    drop_uninformative: bool = Field(False, description="leave groups with equal rewards out of the selection")
    domain_mix: dict[Part, Probability] | None = Field(
        None, description="share of a step's prompts per domain or label"
    )
    where: dict[str, Condition] = Field({}, description="label -> accepted values, or [low, high]: prompts to train on")
    router_balance_coef: float = Field(0.0, ge=0, description="alpha_balance (Eq. 6)")
    router_z_loss_coef: float = Field(0.0, ge=0, description="alpha_z (Eq. 6)")
    guard: Guard = Guard()
    sync_tolerance: float = Field(0.1, gt=0, description="nats per token that vllm may differ by after a weight sync")
    engine_timeout: float = Field(1800, gt=0, description="seconds that vllm may take for one rollout")
    vllm_server: VllmServer = Field(VllmServer(), description="the server of trl.vllm_mode: server without an address")
    trl: dict[str, Any] = {}


class EvalStage(Section):
    kind: Literal["eval"]
    policies: list[str] = Field(min_length=1)
    tasks: list[str] = Field(min_length=1)
    samples: Positive = Field(4, description="k of avg@k")
    max_new_tokens: Positive = 32_768
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    limit: Positive | None = Field(None, description="at most this many problems of each task")
    revisions: dict[str, str] = Field({}, description="task -> commit of its dataset on the hub; default: the newest")
    batch_tokens: Positive = 65536


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

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(17, ge=0, lt=2**31)
    note: str = Field("", description="shown on top of the report")
    model: Model
    prompt_suffix: dict[Domain, str] = {"math": PAPER_SUFFIX, "science": PAPER_SUFFIX}
    rewards: Rewards = Rewards()
    engine: Engine = Engine()


class Recipe(RecipeHead):
    """A whole recipe. `stages` keeps the order of the file."""

    stages: dict[str, Stage] = Field(min_length=1)
