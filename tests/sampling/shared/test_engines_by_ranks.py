"""Each engine by two real ranks of a gloo group: the responses and entropies of one process, and no time limit hit."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from drawing_rank import REQUESTS, SETTINGS
from launches import RINGLITE, Launch
from tiny_lm import save_policy

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.problems import read_problems
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.runs.files import read_json
from ringlite_cli.sampling.opening import open_sampler
from ringlite_cli.sampling.score import sampled_entropy

pytestmark = pytest.mark.slow

FAULT = fault_of(vllm_version())
PROGRAM = Path(__file__).parents[2] / "drawing_rank.py"


@pytest.mark.parametrize(
    "name", ["transformers", pytest.param("vllm", marks=pytest.mark.skipif(bool(FAULT), reason=FAULT))]
)
def test_two_ranks_draw_and_score_what_one_process_does(tmp_path: Path, name: str) -> None:
    policy = save_policy(tmp_path / "policy", "llama", head_dim=32)
    given = {"name": name, "seeded": True, **({"max_model_length": 128} if name == "vllm" else {})}
    run = tmp_path / "run"
    ended = Launch(2, [sys.executable, str(PROGRAM), str(run), str(policy), json.dumps(given)]).wait()
    assert [each.code for each in ended] == [0, 0], ended
    found = read_json(run / "samples.json")

    alone = open_sampler(policy, SETTINGS, Engine(**given), "float32")
    groups = alone.sample(REQUESTS)
    pairs = [(request, s) for request, group in zip(REQUESTS, groups, strict=True) for s in group]
    entropies = sampled_entropy(alone, pairs, row_tokens=512)
    alone.close()
    assert [[[index, text] for index, text, _ in group] for group in found] == [
        [[s.index, s.text] for s in group] for group in groups
    ]
    assert [entropy for group in found for _, _, entropy in group] == pytest.approx(entropies, abs=1e-5)


RECIPE = """
name: asked
model: {{dtype: float32, path: {policy}}}
prompt_suffix: {{}}
stages:
  curate:
    kind: curate
    sources:
      - {{generator: arithmetic, rows: 14, split: train}}
    sets: {{math: {{split: train}}}}
    difficulty:
      models: [{{path: {policy}, dtype: float32, max_completion_length: 8}}]
      samples: 3
      drop_never_right: false
"""


def curated(folder: Path, policy: Path, ranks: int) -> Path:
    file = folder / "asked.yaml"
    file.write_text(RECIPE.format(policy=policy))
    ended = Launch(ranks, [*RINGLITE, "run", str(file), "--runs-dir", str(folder / str(ranks))]).wait()
    assert [each.code for each in ended] == [0] * ranks, ended
    return folder / str(ranks) / "asked" / "curate"


def test_a_model_that_curation_asks_is_drawn_from_by_all_ranks(tmp_path: Path) -> None:
    from policies import write_tiny_policy

    policy = write_tiny_policy(tmp_path / "policy")
    labels: Callable[[Path], list[object]] = lambda stage: [  # noqa: E731
        (p.id, p.labels) for p in read_problems(stage / "math.parquet")
    ]
    alone, both = (curated(tmp_path, policy, ranks) for ranks in (1, 2))
    assert len(labels(alone)) > 5
    assert labels(both) == labels(alone)
    assert len(read_json(both.parent / ".ranks.draws.json")) == 1
    assert not (both / ".drawing").exists()
