"""How a job is cut, claimed, answered and gone on with, without any rank."""

import json
import threading
from pathlib import Path

import pytest

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.runs.ranks import Listener, signs_of_life
from ringlite_cli.samples import Request, SampledResponse, SamplingSettings
from ringlite_cli.sampling.shared import child
from ringlite_cli.sampling.shared.answers import (
    AnswerReader,
    AnswerWriter,
    answers_file,
    earlier_answers,
    lacking,
    sample_of,
    sample_row,
)
from ringlite_cli.sampling.shared.failures import OtherFiles, raise_failures, write_failure
from ringlite_cli.sampling.shared.files import files_digest, policy_key
from ringlite_cli.sampling.shared.helper import check_files
from ringlite_cli.sampling.shared.job import (
    OVER,
    Asked,
    Job,
    JobHead,
    cut_units,
    messages_digest,
    single_atoms,
    write_job,
)
from ringlite_cli.sampling.shared.watch import Watch
from ringlite_cli.sampling.transformers_sampler import _Row, make_batches, plan_batches

SETTINGS = SamplingSettings(max_completion_length=10, seed=5)


def request(name: str, k: int = 4, first: int = 0) -> Request:
    return Request(name, [{"role": "user", "content": name}], k, first)


def head(policy: str = "tiny", key: str = "k", **more: object) -> JobHead:
    return JobHead("draw", policy, "float32", SETTINGS, None, files_digest(policy), key, **more)


@pytest.mark.parametrize(("atoms", "ranks"), [(1, 1), (1, 8), (5, 3), (1000, 2), (100_000, 256)])
def test_units_hold_all_atoms_once_and_shrink(atoms: int, ranks: int) -> None:
    units = cut_units([[(i, 0, 1)] for i in range(atoms)], ranks)
    assert [atom[0][0] for unit in units for atom in unit] == list(range(atoms))
    sizes = [len(unit) for unit in units]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= max(1, atoms // (4 * ranks))
    assert len(units) <= min(atoms, 30 * ranks + ranks)  # no folder of a hundred thousand claims


@pytest.mark.parametrize(("problems", "k", "ranks"), [(1, 16, 8), (3, 1, 8), (100, 4, 2), (7, 3, 3)])
def test_responses_of_one_request_are_shared_out_too(problems: int, k: int, ranks: int) -> None:
    atoms = single_atoms([Asked(request(f"p{i}", k, first=2)) for i in range(problems)], ranks)
    found = [(place, index) for atom in atoms for place, first, count in atom for index in range(first, first + count)]
    assert found == [(place, index) for place in range(problems) for index in range(2, k + 2)]
    assert len(atoms) >= min(ranks, problems * k)


def test_ranks_take_the_batches_that_one_process_would_draw() -> None:
    requests = [request(f"p{i}", k=3) for i in range(20)]
    prompts = [[1] * (4 + i % 5) for i in range(20)]
    settings = SamplingSettings(max_completion_length=10, batch_tokens=100)
    rows = [_Row(place, index, prompts[place], 0) for place in range(20) for index in range(3)]
    expected = [[(row.request, row.index) for row in batch] for batch in make_batches(rows, settings)]
    for ranks in (1, 2, 3, 8):
        planned = plan_batches(requests, prompts, settings, 1 << 30, ranks)
        flat = [[(place, i) for place, first, k in atom for i in range(first, first + k)] for atom in planned]
        assert flat == expected
    few = plan_batches(requests, prompts, SamplingSettings(10), 1 << 30, 8)
    assert len(few) == 8
    assert sum(k for atom in few for _, _, k in atom) == 60
    assert len(plan_batches(requests[:1], prompts[:1], SamplingSettings(10), 1 << 30, 8)) == 3  # one row is not cut


def test_a_unit_is_claimed_by_one_alone(tmp_path: Path) -> None:
    asked = [Asked(request(f"p{i}")) for i in range(200)]
    write_job(tmp_path / "0001", head(), asked, [[[(i, 0, 4)]] for i in range(200)])
    taken: list[str] = []

    def take() -> None:
        for unit in Job(tmp_path / "0001").claim():
            taken.extend(each.request.problem_id for atom in unit for each in atom)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"p{i}" for i in range(200))


def test_a_job_reads_back_as_it_was_written_and_ends_when_it_is_over(tmp_path: Path) -> None:
    asked = [Asked(request("a", 4, first=3)), Asked(request("b"), trace="so \ud800 be it\u2028")]
    write_job(tmp_path / "0001", head(thinking={"keep": "last"}), asked, [[[(0, 5, 2)]], [[(1, 0, 1)]]])
    job = Job(tmp_path / "0001")
    assert job.head == head(thinking={"keep": "last"})
    assert job.responses == 3
    units = job.claim()
    assert [(each.request, each.trace) for atom in next(units) for each in atom] == [(request("a", 2, first=5), None)]
    (tmp_path / "0001" / OVER).touch()
    assert list(units) == []


def sample(name: str, index: int) -> SampledResponse:
    return SampledResponse(name, index, f"text\n{index}", (1, 2, 3), 7, True, -1.25, 0.1 + 0.2, None, "<think>")


def test_a_half_written_answer_waits_for_its_rest(tmp_path: Path) -> None:
    writer, reader = AnswerWriter(tmp_path, 1), AnswerReader(tmp_path)
    writer.write([sample_row(sample("a", 0))])
    line = json.dumps(sample_row(sample("b", 0))) + "\n"
    with answers_file(tmp_path, 0).open("w") as file:
        file.write(line[:20])
        file.flush()
        assert [row["problem_id"] for row in reader.new()] == ["a"]
        file.write(line[20:])
    (row,) = reader.new()
    found = sample_of(row)
    assert (found.text, found.tokens, found.logprob, found.entropy) == ("text\n0", 3, -1.25, 0.1 + 0.2)
    assert (found.truncated, found.prompt_end, found.prompt_tokens) == (True, "<think>", 7)
    assert list(reader.new()) == []


def test_earlier_answers_stand_in_for_the_same_question_to_the_same_policy_alone(tmp_path: Path) -> None:
    folder = tmp_path / "session" / "0001"
    write_job(folder, head(key="mine"), [Asked(request("a")), Asked(request("b"))], [])
    AnswerWriter(folder, 2).write(sample_row(sample("a", index)) for index in (1, 3))
    with answers_file(folder, 2).open("a") as file:
        file.write('{"problem_id": "b", "ind')  # torn by a kill
    known = earlier_answers(tmp_path, "mine")
    assert {name: sorted(rows) for name, rows in known.items()} == {("a", messages_digest(request("a"))): [1, 3]}
    assert earlier_answers(tmp_path, "another") == {}
    other = Request("a", [{"role": "user", "content": "changed"}], 4)
    assert ("a", messages_digest(other)) not in known
    rest = lacking(request("a", 6), known[("a", messages_digest(request("a")))])
    assert [(part.first, part.num_generations) for part in rest] == [(0, 1), (2, 1), (4, 2)]


def test_files_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x" * 300_000)
    assert files_digest(one) == files_digest(two)
    for place in (0, 299_999):
        changed = bytearray(b"x" * 300_000)
        changed[place] = 0
        (two / "model.safetensors").write_bytes(bytes(changed))
        assert files_digest(one) != files_digest(two)
        with pytest.raises(OtherFiles, match="rank 3 sees other files"):
            check_files(head(str(two), **{}).__class__(**{**head(str(two)).__dict__, "files": files_digest(one)}), 3)
    assert policy_key(one) != policy_key(two)
    assert files_digest("owner/name") == "owner/name"


def test_a_failure_is_raised_as_it_was(tmp_path: Path) -> None:
    raise_failures(tmp_path)
    write_failure(tmp_path, 4, RuntimeError("CUDA out of memory\nmore"))
    with pytest.raises(RuntimeError, match="rank 4: RuntimeError: CUDA out of memory"):
        raise_failures(tmp_path)
    raise_failures(tmp_path, only_files=True)
    write_failure(tmp_path, 2, UserError("no weights", where="x", hint="save it"))
    with pytest.raises(UserError, match="x: no weights; save it"):
        raise_failures(tmp_path)
    write_failure(tmp_path, 1, OtherFiles("others"))
    with pytest.raises(WorkFailed, match="others"):
        raise_failures(tmp_path, only_files=True)


def test_a_silent_helper_is_told_of(tmp_path: Path) -> None:
    session = tmp_path / "stage" / ".drawing" / "s"
    session.mkdir(parents=True)
    watch = Watch(session, lost=0.2)
    watch._looked = -10
    watch.check()  # none has come yet
    with signs_of_life(session / "alive-1", 0.01):
        listener = Listener(session / "alive-1", 0.3)
        for _ in range(10):
            assert not listener.is_silent()
            threading.Event().wait(0.05)
    (session / "alive-2").write_text("7")
    watch._looked = -10
    watch.check()
    threading.Event().wait(0.3)
    watch._looked = -10
    with pytest.raises(WorkFailed, match="rank 2 has given no sign of life"):
        watch.check()


@pytest.mark.parametrize(
    ("local", "gpus", "width", "expected"),
    [
        (0, [], 1, (True, None)),
        (3, [], 2, (True, None)),
        (3, ["0", "1", "2", "3"], 1, (True, ["3"])),
        (1, ["4", "5", "6", "7"], 2, (True, ["6", "7"])),
        (2, ["0", "1", "2", "3"], 2, (False, [])),
        (1, ["0", "1", "2"], 2, (False, ["2"])),
        (1, ["0"], 1, (False, [])),
    ],
)
def test_gpus_of_a_machine_go_to_its_ranks_in_order(
    monkeypatch: pytest.MonkeyPatch, local: int, gpus: list[str], width: int, expected: tuple[bool, list[str] | None]
) -> None:
    """Two GPUs an engine: half of the ranks lead one; GPUs that are left over stay idle."""
    monkeypatch.setenv("LOCAL_RANK", str(local))
    monkeypatch.setattr(child, "_visible_gpus", lambda: gpus)
    assert child.gpus_of_rank(Engine(name="vllm", tensor_parallel_size=width)) == expected
