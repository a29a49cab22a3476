"""The command line: exit codes, one message per mistake, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import ringlite
from launches import Launch

from ringlite_cli import __version__
from ringlite_cli.__main__ import _AT_ONCE, BY_ALL_RANKS
from ringlite_cli.cli import app
from ringlite_cli.recipe.load import shipped_recipes
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.commands.shared_options import WorkingCommand
from ringlite_cli.stages.kinds import KINDS


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads(name: str) -> None:
    recipe = load_checked(name)
    assert recipe.name == name.split("/")[-1]


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_says_what_it_is_in_its_first_line(name: str) -> None:
    assert shipped_recipes()[name].read_text().startswith("# ")


MISTAKES = [
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
    (["eval", "--model", "x", "--tasks", "gsm8k", "--data", "gsm8k"], 2, "is not TASK=FILE; for example --data gsm8k="),
    (["rescore", "nowhere", "--data", "gsm8k="], 2, "'gsm8k=' is not TASK=FILE"),
    (["verify", "nowhere.jsonl", "--out", "x.jsonl"], 2, "nowhere.jsonl: no such file"),
    (["sandbox", "run", "nowhere.py", "--tests", "t.json"], 2, "nowhere.py: no such file"),
    (["run", "c3po-vs-grpo"], 2, "an experiment, not a recipe; `ringlite experiment c3po-vs-grpo` runs it"),
    (["experiment", "toy"], 2, "a recipe, not an experiment; `ringlite run toy` runs it"),
    (["eval", "--model", "./nope", "--tasks", "gsm8k"], 2, "nope: no such model folder"),
    (["eval", "toy", "--tasks", "gsm8k"], 2, "--tasks goes with --model"),
    (["eval", "--model", "x", "--tasks", "mine"], 2, "a file of your own is one by --data mine=FILE"),
    (["chat", "nowhere"], 2, "no such run folder"),
    (["chat", __file__], 2, "that is a file, and a run is a folder; give "),
    (["serve", "nowhere:rl"], 2, "no such run folder"),
    (["export", "nowhere:rl", "out"], 2, "no such run folder"),
    (["chat", "nowhere", "--engine", "sglang"], 2, "'sglang' is not transformers or vllm"),
    (["recipes", "--show", "demmo"], 2, "did you mean 'demo'?"),
    (["recipes", "toy"], 2, "give --copy NAME, or --show"),
    (["data", "check", "nowhere.jsonl"], 2, "nowhere.jsonl: no such file"),
    (["new", "a", "--data", "nowhere.jsonl"], 2, "nowhere.jsonl: no such file"),
    (["new", "a b", "--data", "nowhere.jsonl"], 2, "'a b' can't name a recipe"),
    (["nonsense"], 2, "No such command"),
    (["run"], 2, "Missing argument"),
]


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ringlite_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_s_process_ends_with_its_code_and_no_traceback() -> None:
    done = in_a_process("check", "demmo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'demo'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert in_a_process("check", "toy").returncode == 0


SPINS = """
import os, sys
from ringlite_cli import __main__

assert "torch" not in sys.modules  # libgomp reads its settings when torch is imported
__main__.run = lambda arguments: print("spins", os.environ.get("GOMP_SPINCOUNT")) or 0
__main__.main()
"""


@pytest.mark.parametrize(
    ("given", "spins"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_threads_sleep_soon_where_the_user_has_not_said_how_they_wait(given: dict[str, str], spins: str) -> None:
    plain = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", SPINS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=plain | given)
    assert done.stdout.splitlines()[-1] == f"spins {spins}", done.stderr


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES)
def test_a_mistake_is_one_message_and_exit_code_2(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    done = ringlite(*arguments, cwd=tmp_path)
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == code, text
    assert message in text
    assert "Traceback" not in text


def test_the_error_leaves_nothing_half_written(tmp_path: Path) -> None:
    ringlite("eval", "--model", "x", "--tasks", "gsm9k", cwd=tmp_path)
    ringlite("run", "toy", "--from", "sfft", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_bad_rows_alone_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('not json\n{"id": 1}\n')
    done = ringlite("verify", "bad.jsonl", "--out", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "none of its 2 rows can be verified; row 0: line 1 is not JSON" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jsonl"]


def test_a_program_that_fails_its_tests_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"mode": "stdin", "cases": [{"input": "", "output": "2"}]}')
    for printed, code in ((1, 1), (2, 0)):
        (tmp_path / "p.py").write_text(f"print({printed})")
        done = ringlite("sandbox", "run", "p.py", "--tests", "t.json", "--isolation", "none", cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr


def test_an_adapter_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "ad").mkdir()
    (tmp_path / "ad" / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    for arguments in (["eval", "--model", "./ad", "--tasks", "gsm8k"], ["chat", "./ad"]):
        done = ringlite(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "an adapter of some/base, not a model" in done.stderr


def test_a_shipped_recipe_is_shown_and_copied_and_nothing_is_written_over(tmp_path: Path) -> None:
    shown = ringlite("recipes", "--show", "toy", cwd=tmp_path)
    assert shown.stdout == shipped_recipes()["toy"].read_text()
    assert ringlite("recipes", "--copy", "toy", "my.yaml", cwd=tmp_path).returncode == 0
    assert (tmp_path / "my.yaml").read_text() == shown.stdout
    assert ringlite("check", "my.yaml", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "recipe.schema.json").read_text()) == json.loads(ringlite("schema").stdout)
    (tmp_path / "my.yaml").write_text("mine")
    again = ringlite("recipes", "--copy", "toy", "my.yaml", cwd=tmp_path)
    assert again.returncode == 2
    assert "there already" in again.stderr
    assert (tmp_path / "my.yaml").read_text() == "mine"


def test_check_lists_stages_in_the_order_in_which_they_run(tmp_path: Path) -> None:
    recipe = yaml.safe_load(shipped_recipes()["toy"].read_text())
    order = list(recipe["stages"])
    recipe["stages"] = dict(reversed(recipe["stages"].items()))
    (tmp_path / "turned.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    said = json.loads(ringlite("check", "turned.yaml", "--json", cwd=tmp_path).stdout)
    names = [stage["name"] for stage in said["stages"]]
    assert names.index("curate") < names.index("sft") < names.index("select") < names.index("rl-math")
    assert sorted(names) == sorted(order)
    assert f"ok, {len(order)} stages: {' -> '.join(names)}" in ringlite("check", "turned.yaml", cwd=tmp_path).stdout


def test_check_names_all_faults_at_once(tmp_path: Path) -> None:
    text = shipped_recipes()["toy"].read_text()
    text = (
        text.replace("num_generations: 2", "num_generatoins: 2")
        .replace("beta: 1e-3", "bta: 1e-3")
        .replace("arithmetic", "arithmetik")
    )
    (tmp_path / "bad.yaml").write_text(text)
    done = ringlite("check", str(tmp_path / "bad.yaml"))
    assert done.returncode == 2
    assert done.stderr.count("did you mean 'num_generations'?") == 2
    assert done.stderr.count("did you mean 'beta'?") == 2


def test_eval_without_a_recipe_rejects_a_folder_that_is_no_model(tmp_path: Path) -> None:
    rows = [{"id": "a", "domain": "math", "prompt": "1+1", "answer": "2"}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "empty").mkdir()
    done = ringlite("eval", "--model", "empty", "--tasks", "mine", "--data", "mine=t.jsonl", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "empty" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_that_works_long_shows_at_once_that_it_has_begun() -> None:
    named = {info.name or info.callback.__name__: info.cls for info in app.registered_commands if info.callback}
    working = {name for name, kind in named.items() if kind is WorkingCommand}
    assert len(working) > 10
    assert set(_AT_ONCE) == working | {"experiment"}


def test_commands_by_all_ranks_are_those_that_walk_stages() -> None:
    walking = {info.name or info.callback.__name__ for info in app.registered_commands if info.callback}
    stages = {info for info in walking if info in KINDS or info in ("rl-math", "rl-mixed", "select-by-entropy")}
    assert set(BY_ALL_RANKS) == stages | {"run"}
    assert set(KINDS) <= set(BY_ALL_RANKS)


def test_under_a_launcher_a_command_for_one_process_works_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ringlite_cli", "recipes", "--copy", "toy", str(tmp_path / "mine.yaml")]
    ranks = Launch(2, command).wait(120)
    assert [rank.code for rank in ranks] == [0, 0], [rank.err for rank in ranks]  # the second one met the first's file
    assert [bool(rank.out) for rank in ranks] == [True, False]
    assert (tmp_path / "mine.yaml").is_file()


def test_an_experiment_is_refused_on_several_ranks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ringlite_cli", "experiment", "c3po-vs-grpo", "--runs-dir", str(tmp_path)]
    ranks = Launch(2, command).wait(120)
    assert [rank.code for rank in ranks] == [2, 0], [rank.err for rank in ranks]
    assert "an experiment runs in one process, not on 2 ranks" in ranks[0].err
    assert not list(tmp_path.iterdir())


def test_every_command_takes_h_and_the_version_is_told() -> None:
    assert ringlite("-h").stdout == ringlite("--help").stdout
    assert "Usage: ringlite sandbox run" in ringlite("sandbox", "run", "-h").stdout
    assert ringlite("--version").stdout == f"ringlite {__version__}\n"


def test_launch_files_are_listed_and_found(tmp_path: Path) -> None:
    listed = ringlite("launcher", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["ddp", "fsdp2-8gpu", "fsdp2", "slurm"]
    assert all(len(line.split()) > 3 for line in listed)
    assert Path(ringlite("launcher", "ddp", cwd=tmp_path).stdout.strip()).name == "ddp.yaml"
    assert "did you mean 'fsdp2'?" in ringlite("launcher", "fsdp", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("check smollm2", ["smollm2-135m", "smollm2-2507", "smollm2-gsm8k"]),
        ("run to", ["toy-2507", "toy", "tomorrow.yaml"]),
        ("plan mine/", ["mine/one.yaml", "mine/two.yml"]),
        ("experiment staged", ["staged-vs-mixed"]),
        ("launch", ["launcher"]),
        ("check nothing/", []),
    ],
)
def test_tab_completes_commands_recipes_and_files(
    typed: str, offered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("tomorrow.yaml", "today.txt", "mine/one.yaml", "mine/two.yml"):
        (tmp_path / name).touch()
    monkeypatch.setenv("_RINGLITE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"ringlite {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    assert ringlite(cwd=tmp_path).stdout.split() == offered


WITHOUT_UNIX = """
import os, signal, sys
import filelock, psutil  # packages have parts of their own for each system
for name in ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog"):
    sys.modules[name] = None
GONE = {
    os: "fork forkpty getuid geteuid getgid killpg setsid sched_getaffinity sysconf pread pwrite register_at_fork",
    signal: "SIGKILL SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE alarm setitimer pidfd_send_signal",
}
for module, names in GONE.items():
    for name in names.split():
        delattr(module, name)
import ringlite
from ringlite_cli.__main__ import run
import ringlite_cli.stages.commands.run, ringlite_cli.stages.commands.status
sys.exit(max(run(words) for words in (["recipes"], ["check", "demo"], ["--version"], ["launcher", "ddp"])))
"""


def test_the_command_answers_where_python_lacks_what_unix_gives_it() -> None:
    """Windows has no fcntl, no fork and few signals: recipes can be written and checked there."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_UNIX], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "demo" in done.stdout
