"""Logic games of reasoning-gym: what ringlite works out, and how problems are drawn for the splits."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ringlite_cli.data.games import GAMES
from ringlite_cli.data.games import drawing as drawing_module
from ringlite_cli.data.games.arc import rule_of
from ringlite_cli.data.games.base import ASK, Unworked, WrongGold
from ringlite_cli.data.games.drawing import (
    HELD_OUT,
    HELD_SEED,
    Drawing,
    GymOptions,
    contradiction,
    forget,
    held_rows,
    read_options,
    told,
)
from ringlite_cli.data.games.making import Maker, is_installed
from ringlite_cli.data.generators.base import SPLITS, bucket
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.rewards.gym import last_answer

needs_gym = pytest.mark.skipif(not is_installed(), reason="reasoning-gym is not installed")
RNG = random.Random(0)
SMALL: dict[str, dict[str, Any]] = {
    "countdown": {"min_numbers": 3, "max_numbers": 3, "max_value": 9, "min_target": 1, "max_target": 60},
    "mini_sudoku": {"min_empty": 4, "max_empty": 6},
    "number_sorting": {"max_numbers": 4, "max_decimals": 0, "min_value": 0},
    "maze": {"max_grid_size": 6, "min_dist": 2, "max_dist": 5},
    "shortest_path": {"min_rows": 3, "max_rows": 4, "min_cols": 3, "max_cols": 4},
    "arc_1d": {"min_size": 8, "max_size": 9, "num_train": 2},
    "family_relationships": {},
    "knights_knaves": {},
    "sudoku": {"min_empty": 30, "max_empty": 30},
}


def row(question: str = "?", answer: str | None = "", **metadata: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, "metadata": metadata}


def family(story: str, one: str, other: str, answer: str) -> dict[str, Any]:
    return row(f"{story}\n\nWhat is {one} to {other}?", answer, person1=one, person2=other)


NAMES = {"female_names": ["Eve", "Ann", "Mia", "Zoe"], "male_names": ["Bob", "Tom", "Max"]}
STORY = (
    "Bob is married to Eve. They have children called Tom and Ann. Tom is married to Zoe. They have a child called Max."
)


@pytest.mark.parametrize(
    ("one", "other", "word"),
    [("Bob", "Tom", "father"), ("Ann", "Eve", "daughter"), ("Eve", "Bob", "wife"), ("Ann", "Tom", "sister"),
     ("Eve", "Max", "grandmother"), ("Ann", "Max", "aunt"), ("Max", "Ann", "nephew")],
)  # fmt: skip
def test_what_people_are_to_each_other(one: str, other: str, word: str) -> None:
    worked = GAMES["family_relationships"].work(family(STORY, one, other, word), NAMES, RNG)
    assert worked.answer == word
    assert one in worked.lines


@pytest.mark.parametrize(("one", "other", "wrong"), [("Max", "Ann", "niece"), ("Zoe", "Eve", "mother-in-law")])
def test_relations_named_from_the_wrong_side_are_refused(one: str, other: str, wrong: str) -> None:
    """As reasoning-gym 0.1.25 names them: by the sex of the other, and as the other's relation."""
    with pytest.raises(WrongGold, match=f"{one} is the (nephew|daughter-in-law) of {other}, not the {wrong}"):
        GAMES["family_relationships"].work(family(STORY, one, other, wrong), NAMES, RNG)


@pytest.mark.parametrize(
    ("game", "made"),
    [
        ("countdown", row(answer="1 + 2 + 3 + 4", numbers=[1, 2, 3, 4], target=11)),
        ("number_sorting", row(answer="['2.0', '1.0']", direction="ascending", original_numbers=["2.0", "1.0"])),
        ("maze", row(answer="3", grid=["####", "#SG#", "####"], start="S", goal="G", wall="#", path=".")),
        ("shortest_path", row(answer="infeasible", matrix=[["*", "#"], ["X", "X"]])),
        ("shortest_path", row(answer="down", matrix=[["*", "X"], ["X", "#"]])),
        ("mini_sudoku", row(puzzle=[[0, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]],
                            solution=[[2, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]])),
        ("knights_knaves", row(names=["Ann", "Bob"], solution=[False, True],
                               statements=[["lying", 1], ["and", ["lying", 0], ["lying", 1]]],
                               knight_knave_terms={"knight": "saint", "knave": "sinner", "a_knight": "a saint"})),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_follow_is_refused(game: str, made: dict[str, Any]) -> None:
    with pytest.raises(WrongGold):
        GAMES[game].work(made, {}, RNG)


def test_three_numbers_are_searched_whole() -> None:
    worked = GAMES["countdown"].work(row(answer="7 + 3*5", numbers=[3, 7, 5], target=22), {}, RNG)
    assert worked.lines.splitlines() == [
        "last 3: need 19, 25, 66. 7 and 5 give 35, 2, 12",
        "last 7: need 15, 29, 154. 3 and 5 give 15, 2, 8",
        "15 = 3 * 5",
    ]
    assert worked.answer == "3 * 5 + 7"


def test_a_sudoku_is_filled_by_what_is_left() -> None:
    solution = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]
    puzzle = [[0, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 0]]
    worked = GAMES["mini_sudoku"].work(row(puzzle=puzzle, solution=solution), {}, RNG)
    assert worked.lines == "r1c1 sees 2 3 4: 1\nr4c4 sees 2 3 4: 1\n"
    assert worked.answer == "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1"


def test_a_rule_of_another_version_has_no_words() -> None:
    assert (
        rule_of("move_3pix_colorful_wrapped_left")
        == "all that is not 0 moves 3 to the left, and round to the other end"
    )
    assert rule_of("gravity_antigravity_right") == "the 2s go to the left end, the 1s to the right end"
    with pytest.raises(Unworked):
        rule_of("spin_the_wheel")


@needs_gym
@pytest.mark.slow
def test_every_rule_of_the_installed_version_has_words_that_say_where_to() -> None:
    """The words' directions against what the rules do: where the cells that are not 0 end up."""
    from reasoning_gym.arc.arc_1d_tasks import ARC_1D_TASKS

    for name, (make, settings) in ARC_1D_TASKS.items():
        words, rng = rule_of(name), random.Random(5)
        made = next(m for m in (make(rng, 12, **settings) for _ in range(99)) if m and m["input"] != m["output"])
        before, after = ([i for i, n in enumerate(made[side]) if n] for side in ("input", "output"))
        if name.startswith("gravity") and "anti" not in name:
            assert ("left" in words) == (sum(after) < sum(before)), name
        if name.startswith("move") and "wrapped" not in name:
            assert ("left" in words) == (sum(after) < sum(before)), name


@pytest.fixture(autouse=True)
def few_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Countdown and sudoku take seconds to make all problems of their tasks."""
    monkeypatch.setattr(drawing_module, "HELD_ROWS", 4)


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with Maker() as started:
        yield started
    forget()


def drawn(maker: Maker, gym: dict[str, Any], rows: int, split: str = "train", seed: int = 17, **options: Any) -> Any:
    made = Drawing(gym, seed, split, GymOptions(**options), maker)
    return list(made.problems(rows)), made


@needs_gym
@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["full", "short"])
def test_every_worked_solution_has_a_full_score(maker: Maker, prompt: str) -> None:
    from reasoning_gym.factory import get_score_answer_fn

    problems, made = drawn(maker, SMALL if prompt == "short" else dict.fromkeys(GAMES), 9 * 10, prompt=prompt)
    assert {p.labels["game"] for p in problems} == set(GAMES)
    for problem in problems:
        assert problem.trace is not None, problem
        entry = json.loads(problem.answer or "")
        score = get_score_answer_fn(problem.labels["game"])(last_answer(problem.trace), entry)
        assert score == 1.0, (problem.prompt, problem.trace)
        assert problem.verifier == "logic-gym"
        assert prompt == "full" or len(problem.prompt) < 260
    assert made.tallies["family_relationships"].wrong_gold > 0
    assert sum(t.wrong_gold for t in made.tallies.values()) == made.tallies["family_relationships"].wrong_gold


def keys_of(problems: list[Problem]) -> set[str]:
    rows = [json.loads(p.answer or "") | {"question": p.prompt.removesuffix(ASK)} for p in problems]
    return {GAMES[p.labels["game"]].key(each) for p, each in zip(problems, rows, strict=True)}


@needs_gym
@pytest.mark.slow
def test_splits_of_whatever_seeds_share_no_problem(maker: Maker) -> None:
    gym = {"countdown": SMALL["countdown"], "maze": SMALL["maze"]}
    keys: dict[str, set[str]] = {}
    for split, seed, rows in (("train", 17, 240), ("train", 18, 240), ("select", 17, 24), ("eval", 3, 24)):
        problems, _ = drawn(maker, gym, rows, split, seed)
        own = keys_of(problems)
        assert len(own) == rows, "a problem stands twice"
        assert all(bucket(f"{p.labels['game']}/{k}") in SPLITS[split] for p in problems for k in keys_of([p]))
        keys[split] = keys.get(split, set()) | own
    assert not keys["train"] & keys["select"]
    assert not keys["train"] & keys["eval"]
    assert not keys["select"] & keys["eval"]
    assert len(keys["train"]) > 300, "another seed gives other problems"


@needs_gym
def test_problems_of_the_evaluation_s_tasks_are_drawn_again(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where a source has their very seed; eval may have them."""
    monkeypatch.setattr(drawing_module, "_stream_seed", lambda *_: HELD_SEED)
    monkeypatch.setattr(drawing_module, "HELD_ROWS", 200)
    held = {GAMES["maze"].key(each) for each in held_rows("maze", maker)}
    problems, made = drawn(maker, {"maze": {}}, 30)
    assert not held & keys_of(problems)
    assert made.tallies["maze"].held_out > 100
    _, made = drawn(maker, {"maze": {}}, 5, "eval")
    assert made.tallies["maze"].held_out == 0


@needs_gym
def test_a_game_without_a_solver_gives_rows_without_traces(maker: Maker) -> None:
    problems, made = drawn(maker, {"spell_backward": {}, "number_sorting": {}}, 5)
    assert [p.labels["game"] for p in problems] == ["spell_backward", "number_sorting"] * 2 + ["spell_backward"]
    assert [p.trace is None for p in problems] == [True, False, True, False, True]
    assert made.tallies["spell_backward"].without_trace == 3
    assert told({"x": made})["reasoning_gym"]["sources"]["x"]["spell_backward"]["rows"] == 3
    bare, _ = drawn(maker, {"number_sorting": {}}, 2, traces=False)
    assert [p.trace for p in bare] == [None, None]


@needs_gym
def test_styles_are_mixed_as_asked(maker: Maker) -> None:
    styles = {p.labels["style"]: p.trace or "" for p in drawn(maker, {"maze": {}}, 40, careful=0.5)[0]}
    assert set(styles) == {"careful", "terse"}
    assert styles["terse"].startswith("<think>\nI see it.\n</think>\n<answer>")


@needs_gym
def test_a_look_makes_few_problems_and_none_of_the_evaluations(maker: Maker) -> None:
    forget()
    gym = {"countdown": SMALL["countdown"], "maze": SMALL["maze"]}
    looked = Drawing(gym, 17, "train", GymOptions(), maker)
    looked.look(1000, 0.0)
    made = {(game, seed): len(rows) for (game, _, seed), rows in drawing_module._drawn.items()}
    assert HELD_SEED not in {seed for _, seed in made}
    assert {game for game, _ in made} == set(gym)
    assert max(made.values()) <= 32
    assert [tally.rows >= 1 for tally in looked.tallies.values()] == [True, True]


@needs_gym
def test_what_a_game_said_of_itself_is_not_asked_again(maker: Maker) -> None:
    said = maker.games(), maker.fields("maze"), maker.fault("maze", {"min_dist": 9, "max_dist": 3})
    with Maker() as other:
        assert said == (other.games(), other.fields("maze"), other.fault("maze", {"max_dist": 3, "min_dist": 9}))
        assert other._process is None, "the program was started for it"


HASHED = """
import json, sys
from ringlite_cli.data.games.making import Maker
with Maker() as maker:
    made = [maker.rows(game, {}, 1234567, 0, 12) for game in ("isomorphic_strings", "list_functions", "maze")]
    alone = [maker.rows(game, {}, 1234567, 11, 1)[0] for game in ("isomorphic_strings", "list_functions", "maze")]
assert [rows[-1] for rows in made] == alone
print(json.dumps(made))
"""


@needs_gym
@pytest.mark.slow
def test_games_that_draw_by_hashes_are_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        said.append(subprocess.run([sys.executable, "-c", HASHED], capture_output=True, text=True, check=True).stdout)
    assert said[0] == said[1]


@needs_gym
def test_a_small_space_stops_with_what_was_reached(maker: Maker) -> None:
    tiny = {"min_numbers": 2, "max_numbers": 2, "max_value": 3, "min_target": 2, "max_target": 5, "operators": ["+"]}
    with pytest.raises(
        UserError, match=r"countdown has \d different train problems in this difficulty, and 500 are"
    ) as e:
        drawn(maker, {"countdown": tiny}, 500)
    assert "the last 200 that it made gave no new one; ask for fewer rows, or widen its difficulty" in str(e.value)


@needs_gym
def test_a_difficulty_that_yields_nothing_says_why(maker: Maker) -> None:
    with pytest.raises(UserError, match=r"gym.maze: .*it could make none of the last 50 \(RuntimeError: Could not"):
        drawn(maker, {"maze": {"min_grid_size": 5, "max_grid_size": 5, "min_dist": 30, "max_dist": 40}}, 3)


@needs_gym
def test_a_game_that_never_ends_is_ended() -> None:
    """Of one person nothing but one sentence can be said, and the game looks for a second one for ever."""
    with Maker(seconds=2.0) as impatient, pytest.raises(UserError, match=r"gym.knights_knaves: .*within 2 s") as caught:
        impatient.rows("knights_knaves", {"n_people": 1}, 1, 0, 20)
    assert "another difficulty" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"promt": "short"}, "options: 'promt' is not an option; did you mean 'prompt'?"),
     ({"prompt": "tiny"}, "options.prompt: 'tiny' is no form of prompt; full or short"),
     ({"careful": 2}, "options.careful: 2 is not a fraction from 0 to 1"),
     ({"careful": True}, "options.careful: True is not a fraction from 0 to 1"),
     ({"traces": "no"}, "options.traces: 'no' is neither true nor false")],
)  # fmt: skip
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_options(options)
    assert str(caught.value) == message


def test_rows_of_another_form_are_not_worked_and_not_called_wrong() -> None:
    assert contradiction(row(source_dataset="countdown", numbers=None), {}) == ""
    assert contradiction(row(source_dataset="no_such_game"), {}) == ""
    assert set(HELD_OUT) == set(GAMES)
