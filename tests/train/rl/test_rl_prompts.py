import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.train.rl.prompts import DifficultySource, draw_prompts

PROBLEMS = [Problem(id=f"{domain}{i}", domain=domain, prompt="?") for domain in ("math", "code") for i in range(7)]


def test_every_problem_is_asked_once_before_any_comes_again():
    drawn = [p.id for p in draw_prompts(PROBLEMS, 7, 4, None, seed=1)]
    assert sorted(drawn[:14]) == sorted(drawn[14:]) == sorted(p.id for p in PROBLEMS)
    assert drawn[:14] != drawn[14:]


def test_the_draw_depends_on_the_seed_alone():
    mix = {"math": 0.5, "code": 0.5}
    assert draw_prompts(PROBLEMS, 4, 5, mix, 3) == draw_prompts(PROBLEMS, 4, 5, dict(reversed(mix.items())), 3)
    assert draw_prompts(PROBLEMS, 4, 5, mix, 3) != draw_prompts(PROBLEMS, 4, 5, mix, 4)


def test_a_longer_run_starts_like_a_shorter_one():
    assert draw_prompts(PROBLEMS, 4, 9, None, 3)[:20] == draw_prompts(PROBLEMS, 4, 5, None, 3)


@given(st.integers(1, 12), st.integers(1, 30), st.floats(0.05, 0.95))
def test_shares_hold_over_any_stretch_to_within_a_prompt(per_rollout, rollouts, share):
    drawn = draw_prompts(PROBLEMS, per_rollout, rollouts, {"math": share, "code": 1 - share}, 0)
    for end in range(per_rollout, len(drawn) + 1, per_rollout):
        math = sum(p.domain == "math" for p in drawn[:end])
        assert abs(math - share * end) <= 1


def test_a_domain_without_problems_is_refused():
    with pytest.raises(UserError, match="domain_mix: no problem of domain 'science' in the data; its domains are"):
        draw_prompts(PROBLEMS, 4, 1, {"math": 1.0, "science": 1.0}, 0)
    with pytest.raises(UserError, match="data: no problems in the data"):
        draw_prompts([], 4, 1, None, 0)


LABELLED = [
    Problem(id=f"q{i}", domain="math" if i % 2 else "code", prompt=f"w{i}", labels={"pass_rate": i % 10 / 10})
    for i in range(60)
]


def source(**options):
    return DifficultySource(LABELLED, lambda p: {"problem_id": p.id, "domain": p.domain}, None, 7, **options)


def test_prompts_of_middling_difficulty_come_most():
    drawn = [row["problem_id"] for rows in (source().draw(10) for _ in range(1)) for row in rows]
    assert len(set(drawn)) == 10
    many = source()
    counts = Counter(int(row["problem_id"][1:]) % 10 for _ in range(60) for row in many.draw(10))
    assert counts[5] > 1.5 * counts[9] > 0
    assert counts[5] > 3 * counts[0] > 0


def test_a_solved_prompt_rests_and_comes_back():
    prompts = source(rest=3)
    first = [row["problem_id"] for row in prompts.draw(10)]
    prompts.note(first, [[1.0, 1.0]] * 5 + [[1.0, 0.0]] * 5)
    for _ in range(3):
        assert not {row["problem_id"] for row in prompts.draw(50)} & set(first[:5])
    assert {row["problem_id"] for row in prompts.draw(60)} >= set(first)


def test_the_mix_holds_over_draws():
    prompts = DifficultySource(LABELLED, lambda p: {"domain": p.domain}, {"math": 0.75, "code": 0.25}, 7)
    domains = Counter(row["domain"] for _ in range(10) for row in prompts.draw(6))
    assert domains == {"math": 45, "code": 15}


def test_a_restored_source_goes_on_as_the_first_would_have():
    first, second = source(), source()
    for _ in range(3):
        ids = [row["problem_id"] for row in first.draw(8)]
        first.note(ids, [[float(len(name) % 2), 1.0, None] for name in ids])
    second.restore(json.loads(json.dumps(first.state())))
    for _ in range(3):
        assert first.draw(8) == second.draw(8)
