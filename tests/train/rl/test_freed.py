"""A stage leaves no trainer behind: on a GPU the next one would find its weights and moments in the memory it wants."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_lm import save_policy

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.freeing import import_apart

_TRAINS = """
import gc, json, sys
from pathlib import Path
from ringlite_cli.freeing import give_back
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.train.rl.run import run_rl
from ringlite_cli.train.sft.run import run_sft

policy, out = map(Path, sys.argv[1:3])
use_vllm = sys.argv[3] == "vllm"
problems = [Problem(f"p{i}", "math", f"w{i} w2", answer="1", trace="w3 w4") for i in range(8)]
verify = lambda pairs: [Verdict("right" if "w3" in text else "wrong", float("w3" in text)) for _, text in pairs]
run_sft(policy, problems, out / "sft", trl={"max_steps": 1}, seed=1)
lengths = {"max_completion_length": 4, "vllm_max_model_length": 64}
trl = {"max_steps": 1, "num_generations": 2, "beta": 1e-3, "use_vllm": use_vllm, **lengths}
run_rl(policy, problems, verify, out / "rl", RlSettings(prompts_per_step=2, token_budget=8, trl=trl))
give_back()
names = [type(thing).__name__ for thing in gc.get_objects()]
print(json.dumps([n for n in names if n.endswith("Trainer") or n in ("AdamW", "AcceleratedOptimizer")]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_the_first_stages_of_a_process_leave_no_trainer_alive(engine: str, tmp_path: Path) -> None:
    """In a new process: what an import keeps alive, the first one keeps."""
    if engine == "vllm" and (fault := fault_of(vllm_version())):
        pytest.skip(f"{fault}; `make setup-vllm` installs it")
    policy = save_policy(tmp_path / "policy", "llama", head_dim=32)
    command = [sys.executable, "-c", _TRAINS, str(policy), str(tmp_path), engine]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_what_an_import_raises_reaches_whoever_asked() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        import_apart("no_such_module")
