"""`ringlite check` finds every object that a recipe names and imports none; a fault is exit code 2, with its key."""

from pathlib import Path

import pytest
from command_line import Said, ringlite

RECIPE = """
name: own
model: {{path: Qwen/Qwen3-0.6B}}
domains: {{haiku: "{domain}"}}
stages:
  curate:
    kind: curate
    sources: [{{path: rows.jsonl, adapter: "{adapter}", verifier: "{verifier}", domain: haiku}}]
    sets: {{traces: {{traces: true}}}}
  sft: {{kind: sft, data: curate.traces}}
  rl:
    kind: rl
    policy: sft
    data: curate.traces
    algorithm: "{algorithm}"
    sampling: "{sampling}"
    rollout_func: "{rollout_func}"
    prompts_per_step: 4
    token_budget: 4096
    domain_mix: {{haiku: 1.0}}
    trl: {{max_steps: 2, num_generations: 4, max_completion_length: 1024}}
  eval: {{kind: eval, policies: [rl], tasks: ["{task}"]}}
"""
MODULE = """
raise RuntimeError("check must not run this")
HAIKU = Domain("haiku")
def read(row): ...
def score(problem, response): ...
MINE = Algorithm("mine", divisor=len)
MADE = replace(MINE, has_budget=True, trl_defaults={"epsilon": 0.1})
UNKNOWN = replace(MINE, divisor=max)
COMPUTED = Algorithm("mine", divisor=len, has_budget=1 > 0)
class Source: ...
def draw(prompts, trainer): ...
RIDDLES = Task("riddles")
"""
SOUND = {
    "domain": "mine:HAIKU", "adapter": "mine:read", "verifier": "mine:score", "algorithm": "mine:MADE",
    "sampling": "mine:Source", "rollout_func": "mine:draw", "task": "mine:RIDDLES",
}  # fmt: skip


def check(folder: Path, **changed: str) -> Said:
    (folder / "mine.py").write_text(MODULE)
    (folder / "rows.jsonl").write_text("{}\n")
    (folder / "recipe.yaml").write_text(RECIPE.format(**SOUND | changed))
    return ringlite("check", str(folder / "recipe.yaml"))


def test_a_recipe_whose_every_part_is_its_own_is_sound(tmp_path):
    done = check(tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"domain": "mine:HAIKUS"}, "domains.haiku: 'mine:HAIKUS': "),
        ({"adapter": "mine:reed"}, "stages.curate.sources.0.adapter: 'mine:reed': "),
        (
            {"verifier": "other:score"},
            "stages.curate.sources.0.verifier: 'other:score': no module 'other'; put other.py",
        ),
        ({"algorithm": "mine:MINES"}, "stages.rl.algorithm: 'mine:MINES': "),
        ({"sampling": "mine:sauce"}, "stages.rl.sampling: 'mine:sauce': "),
        ({"rollout_func": "mine:dram"}, "stages.rl.rollout_func: 'mine:dram': "),
        ({"task": "mine:RIDDLE"}, "stages.eval.tasks.0: 'mine:RIDDLE': "),
        (
            {"algorithm": "mine:UNKNOWN"},
            "does not write has_budget of 'UNKNOWN' as a literal; write has_budget=True or",
        ),
        ({"algorithm": "mine:COMPUTED"}, "does not write has_budget or trl_defaults of 'COMPUTED' as a literal"),
        ({"algorithm": "mine:draw"}, "assigns 'draw' no Algorithm(...); write `draw = Algorithm(...)`"),
        ({"algorithm": "ppo"}, "not 'ppo'"),
        ({"algorithm": "gsp"}, "did you mean 'gspo'?"),
        ({"sampling": "shufle"}, "input should be 'shuffle' or 'difficulty' or module:object, not 'shufle'"),
        ({"rollout_func": "draw"}, "write module:object, as in mine:draw"),
        ({"domain": "haiku"}, "domains.haiku: 'haiku' does not name an object; write module:object"),
        ({"verifier": "maths"}, "or module:object"),
    ],
)
def test_a_name_that_leads_nowhere_is_a_fault_with_its_key(tmp_path, changed, said):
    done = check(tmp_path, **changed)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_rules_of_a_budget_hold_for_an_own_algorithm_too(tmp_path):
    (tmp_path / "x").mkdir()
    for name, wrong in (("mine:MADE", False), ("mine:MINE", True)):
        recipe = RECIPE.replace("kind: rl\n", "kind: rl\n    undershoot: refill\n")
        (tmp_path / "mine.py").write_text(MODULE)
        (tmp_path / "rows.jsonl").write_text("{}\n")
        (tmp_path / "recipe.yaml").write_text(recipe.format(**SOUND | {"algorithm": name}))
        done = ringlite("check", str(tmp_path / "recipe.yaml"))
        assert ("trains every response and has no budget to fill" in done.stderr) is wrong
