"""One rollout phase on a small engine: what is in flight, what is carried, and what the pool keeps of it."""

from pathlib import Path

import pytest
from carry_runs import words

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.train.engine.stream import Written
from ringlite_cli.train.rl.carry.kept import load_pool, save_pool
from ringlite_cli.train.rl.carry.phase import Limits, Phase
from ringlite_cli.train.rl.carry.pool import Pool, ages, lengths_by_retention, mean_length_by_retention

LONGEST, GROUP = 40, 4


def length(name: str) -> int:
    """Mostly short; the first response of every third group is long."""
    group, place = map(int, name.split("-"))
    return 30 if group % 3 == 0 and place == 0 else 4 + (group + place) % 3


def phase_of(pool: Pool, in_flight: int = 8, **more: object) -> Phase:
    return Phase(
        pool, Limits(in_flight, LONGEST, 17, **more), lambda: pool.launch({"id": pool.launched}, [1, 2], GROUP)
    )


def run(pool: Pool, engine: type, enough: int, **more: object) -> None:
    phase = phase_of(pool, **more)
    phase.run(engine.stream(None), 0, lambda: len(pool.complete()) >= enough)


def test_so_many_responses_are_under_way_all_the_time() -> None:
    engine, pool = words(length), Pool()
    stream = engine.stream(None)
    counts: list[int] = []
    plain = stream.step

    def step():
        counts.append(len(stream._open))
        return plain()

    stream.step = step
    phase_of(pool, in_flight=10).run(stream, 0, lambda: len(pool.complete()) >= 5)
    assert set(counts) == {10}
    assert [group.number for group in pool.groups] == list(range(pool.launched))


def test_a_carried_response_goes_on_where_it_was_and_keeps_what_each_version_wrote() -> None:
    engine, pool, alone = words(length), Pool(), Pool()
    for version in range(3):
        pool.version = version
        run(pool, engine, enough=2 * (version + 1))
    (carried,) = (r for r in pool.groups[0].responses if length("0-0") == 30 and len(r.tokens) > 6)
    assert sorted(set(carried.versions)) == [0, 1, 2]
    assert carried.versions == sorted(carried.versions)
    assert len(carried.tokens) == len(carried.log_probs) == len(carried.versions)
    assert ages(carried, 2)[0] == 2
    asks = [ask for asked in engine.asked for ask in asked if ask.name.startswith("0-0-")]
    parts = [0, *(len(w.tokens) for stopped in engine.stopped for w in stopped if w.name.startswith("0-0-"))]
    assert [ask.ids for ask in asks] == [[1, 2, *carried.tokens[: sum(parts[: i + 1])]] for i in range(3)]
    assert [ask.room for ask in asks] == [LONGEST - sum(parts[: i + 1]) for i in range(3)]
    assert len({ask.seed for ask in asks}) == 3
    phase_of(alone).run(
        words(length).stream(None), 0, lambda: bool(alone.groups) and alone.groups[0].complete
    )  # without a stop
    assert alone.groups[0].responses[0].tokens[: len(carried.tokens)] == carried.tokens


def test_a_rollout_writes_at_least_what_it_is_asked_to() -> None:
    pool = Pool()
    phase = phase_of(pool)
    phase.run(words(length).stream(None), 100, lambda: True)
    assert 100 <= phase.generated < 100 + 8 * 8
    phase = phase_of(pool)
    phase.run(words(length).stream(None), 0, lambda: True)
    assert phase.generated == 0


def test_groups_that_were_carried_over_too_often_are_dropped_and_asked_again() -> None:
    pool = Pool()
    old, done = pool.launch({"id": "old"}, [1], 2), pool.launch({"id": "done"}, [1], 2)
    old.responses[0].write([5, 6], [-1.0, -1.0], 0, ended=False)
    for response in done.responses:
        response.write([5], [-1.0], 0, ended=True)
    for _ in range(2):
        pool.grow_older()
    assert pool.drop_old(2) == []
    pool.grow_older()
    assert pool.drop_old(2) == [old]
    assert pool.groups == [done]  # it waits for a step, and is not unfinished
    assert pool.waiting == [{"id": "old"}]
    assert pool.by_retention() == {"3": 1}


def test_an_engine_without_log_probabilities_is_refused_where_they_are_needed() -> None:
    with pytest.raises(WorkFailed, match=r"gives no log-probabilities.*mismatch: \{rule: none\}"):
        run(Pool(), words(length, log_probs=False), enough=1)
    pool = Pool()
    run(pool, words(length, log_probs=False), enough=1, needs_log_probs=False)
    assert all(p != p for group in pool.complete() for r in group.responses for p in r.log_probs)


@pytest.mark.parametrize(
    ("tokens", "log_probs", "message"),
    [
        ([], [], "the engine ended a response without a token; .*the token that ends it"),
        ([1] * 41, [-1.0] * 41, "the engine wrote 41 tokens of a response that had room for 40"),
        ([1, 2], [-1.0], "the engine gave 1 log-probabilities of 2 tokens"),
    ],
)
def test_an_engine_that_writes_what_is_no_response_is_told(tokens: list, log_probs: list, message: str) -> None:
    """Engines of the user's own, and servers that end a response early: TRL would fail on it later."""
    stream = words(length).stream(None)
    stream.step = lambda: [Written(next(iter(stream._open)), tokens, log_probs, True)]
    with pytest.raises(WorkFailed, match=message):
        phase_of(Pool()).run(stream, 0, lambda: False)


def test_an_engine_that_fails_leaves_the_pool_as_it_was_when_responses_last_ended() -> None:
    """What the dead engine had of unfinished responses is lost; the next engine writes them again."""
    engine, pool = words(length), Pool()
    run(pool, engine, enough=2)
    kept = {(group.number, place): len(group.responses[place].tokens) for group, place in pool.unfinished()}
    broken = engine.stream(None)
    plain, steps = broken.step, 0

    def step():
        nonlocal steps
        steps += 1
        if steps > 2:
            raise RuntimeError("the engine died")
        return plain()

    broken.step = step
    with pytest.raises(RuntimeError, match="the engine died"):
        phase_of(pool).run(broken, 0, lambda: len(pool.complete()) >= 4)
    left = {(group.number, place): len(group.responses[place].tokens) for group, place in pool.unfinished()}
    assert left == {name: kept.get(name, 0) for name in left}
    assert left.keys() < kept.keys() | left.keys()
    run(pool, engine, enough=4)
    assert len(pool.complete()) >= 4


def test_a_pool_comes_back_from_a_checkpoint_as_it_was(tmp_path: Path) -> None:
    pool = Pool()
    run(pool, words(length), enough=3)
    pool.groups[-1].responses[0].write([7], [float("-inf")], 1, ended=False)
    pool.waiting, pool.version, pool.taken = [{"prompt": "w1", "n": 2.5}], 4, 321
    save_pool(tmp_path, 0, pool)
    assert load_pool(tmp_path, 0) == (pool, None)
    save_pool(tmp_path, 1, Pool(), {"place": 3})
    assert load_pool(tmp_path, 1, 2) == (Pool(), {"place": 3})
    with pytest.raises(UserError, match="carried responses of 2 processes, and 4 train now"):
        load_pool(tmp_path, 0, 4)


def test_lengths_are_told_by_how_often_a_group_was_carried_over() -> None:
    pool = Pool()
    for retention, tokens in ((0, 2), (1, 6), (1, 8)):
        group = pool.launch({}, [1], 1)
        group.retention = retention
        group.responses[0].write([1] * tokens, [0.0] * tokens, 0, ended=True)
    assert mean_length_by_retention(lengths_by_retention(pool.groups)) == {"0": 2.0, "1": 7.0}
