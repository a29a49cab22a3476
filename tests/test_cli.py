"""The command line: exit codes, one message per mistake, never a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ringlite_cli.recipe.load import shipped_recipes
from ringlite_cli.stages.commands.check import load_checked


def ringlite(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ringlite_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=120)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads(name: str) -> None:
    recipe = load_checked(name)
    assert recipe.name == name.split("/")[-1]


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_says_what_it_is_in_its_first_line(name: str) -> None:
    assert shipped_recipes()[name].read_text().startswith("# ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["check", "demmo"], 2, "did you mean 'demo'?"),
        (["run", "toy", "--from", "sfft"], 2, "the recipe has no stage 'sfft'"),
        (["run", "toy", "--set", "stages.sft.trl.learning_rat=1"], 2, "did you mean 'learning_rate'?"),
        (["run", "toy", "--set", "nonsense"], 2, "not KEY=VALUE"),
        (["rl", "toy", "--stage", "rl-code"], 2, "no rl stage 'rl-code'"),
        (["sft", "toy"], 2, "stage 'sft' needs 'curate', which has not been run"),
        (["rl-math", "toy"], 2, "which has not been run"),
        (["report", "nowhere"], 2, "nowhere"),
        (["compare", "nowhere", "elsewhere"], 2, "nowhere"),
        (["eval"], 2, "give a RECIPE or --model"),
        (["eval", "--model", "x"], 2, "--model needs --tasks"),
        (["eval", "--model", "x", "--tasks", "gsm9k"], 2, "gsm8k"),
        (["eval", "--model", "x", "--tasks", "gsm8k", "--data", "gsm8k"], 2, "is not NAME=FILE"),
        (["verify", "nowhere.jsonl", "--out", "x.jsonl"], 2, "nowhere.jsonl: no such file"),
        (["sandbox", "run", "nowhere.py", "--tests", "t.json"], 2, "nowhere.py: no such file"),
        (["nonsense"], 2, "No such command"),
        (["run"], 2, "Missing argument"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    done = ringlite(*arguments, cwd=tmp_path)
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == code, text
    assert message in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_the_error_leaves_nothing_half_written(tmp_path: Path) -> None:
    ringlite("eval", "--model", "x", "--tasks", "gsm9k", cwd=tmp_path)
    ringlite("run", "toy", "--from", "sfft", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_check_names_all_faults_at_once(tmp_path: Path) -> None:
    text = shipped_recipes()["toy"].read_text()
    text = (
        text.replace("samples: 2", "sampels: 2").replace("beta: 1e-3", "bta: 1e-3").replace("arithmetic", "arithmetik")
    )
    (tmp_path / "bad.yaml").write_text(text)
    done = ringlite("check", str(tmp_path / "bad.yaml"))
    assert done.returncode == 2
    assert done.stderr.count("did you mean 'samples'?") == 2
    assert done.stderr.count("did you mean 'beta'?") == 2


@pytest.mark.slow
def test_eval_without_a_recipe_rejects_a_folder_that_is_no_model(tmp_path: Path) -> None:
    rows = [{"id": "a", "domain": "math", "prompt": "1+1", "answer": "2"}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "empty").mkdir()
    done = ringlite("eval", "--model", "empty", "--tasks", "mine", "--data", "mine=t.jsonl", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "empty" in done.stderr
    assert "Traceback" not in done.stderr
