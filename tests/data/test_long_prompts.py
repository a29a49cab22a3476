"""One prompt that is too long for the model that is asked costs that problem, with a count, and no other."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import exact_match, row
from endpoint_helpers import Server
from policies import write_tiny_policy

from ringlite_cli.data.asking import Asking
from ringlite_cli.data.difficulty import by_pass_rate
from ringlite_cli.data.distill import distill
from ringlite_cli.data.labelling import label_by_model
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Verdict
from ringlite_cli.recipe.schema import Difficulty, Distill, Responder
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.sampling.endpoint import EndpointSampler
from ringlite_cli.sampling.transformers_sampler import TransformersSampler

SETTINGS = SamplingSettings(max_completion_length=64)
VLLM = b"This model's maximum context length is 512 tokens. However, your request has 700 input tokens."
OLD_VLLM = (
    b"This model's maximum context length is 512 tokens. However, you requested 564 tokens (500 in the messages, 64 in "
    b"the completion). Please reduce the length of the messages or completion."
)
ENGINE = b"The decoder prompt (length 600) is longer than the maximum model length of 512."
SGLANG = b"The input (600 tokens) is longer than the model's context length (512 tokens)."
LLAMA = b'{"error": {"code": 400, "message": "the request exceeds the available context size"}}'


def rows(*numbers: int) -> list[CuratedRow]:
    made = [row(f"Double {n} for me, please.", str(2 * n), id=f"p{n}", trace=None) for n in numbers]
    for one in made:
        one.verified = "trace"
    return made


def too_long() -> CuratedRow:
    one = row("Double 9 " + "and again " * 3000, "18", id="long", trace=None)
    one.verified = "trace"
    return one


@pytest.fixture
def policy(tmp_path: Path) -> Responder:
    return Responder(path=str(write_tiny_policy(tmp_path / "policy")), dtype="float32", max_completion_length=8)


def asking(folder: Path, told: list[str]) -> Asking:
    def open_sampler(responder: Responder) -> Any:
        if responder.endpoint:
            return EndpointSampler(responder, SETTINGS)
        settings = SamplingSettings(responder.max_completion_length, seed=3, batch_tokens=responder.batch_tokens)
        return TransformersSampler(str(responder.path), settings=settings, dtype="float32")

    return Asking(open_sampler, exact_match, folder, report=told.append)


@pytest.mark.slow
def test_a_local_model_rates_all_other_problems(policy: Responder, tmp_path: Path) -> None:
    section = Difficulty(models=[policy], num_generations=2, drop_never_right=False)
    told: list[str] = []
    calm = by_pass_rate(rows(1, 2), section, asking(tmp_path / "calm", []))
    found = by_pass_rate([too_long(), *rows(1, 2)], section, asking(tmp_path / "a", told))
    assert [(drop.problem.id, drop.reason) for drop in found.drops] == [("long", "prompt_too_long")]
    assert [each.problem.labels for each in found.kept] == [each.problem.labels for each in calm.kept]
    assert f"difficulty: 1 of 3 prompts leave {policy.name} no room for a response" in told
    told.clear()
    by_pass_rate([too_long(), *rows(1, 2)], section, asking(tmp_path / "a", told))
    assert told[0].startswith("difficulty: 0 of 3 problems"), "a prompt that is too long is not asked again"


@pytest.mark.slow
def test_nothing_but_such_prompts_is_an_error(policy: Responder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prompt leaves room for a response"):
        by_pass_rate([too_long()], Difficulty(models=[policy], num_generations=2), asking(tmp_path, []))


@pytest.mark.slow
def test_what_one_model_cannot_read_another_may_rate(policy: Responder, server: Server, tmp_path: Path) -> None:
    section = Difficulty(models=[policy, server.responder()], num_generations=2, drop_never_right=False)
    found = by_pass_rate([too_long(), *rows(1)], section, asking(tmp_path, []))
    assert found.drops == []
    assert found.kept[0].problem.labels["pass_rates"] == {"tester": 1.0}
    assert "pass_rate" not in found.kept[0].problem.labels, "it is the policy's, and that one could not be asked"
    assert found.kept[1].problem.labels["pass_rates"].keys() == {policy.name, "tester"}


def test_a_verifier_that_fails_says_nothing_of_a_problem(server: Server, tmp_path: Path) -> None:
    """Every failure counted as a wrong response: with the sandbox broken, all problems were never solved."""

    seen: set[str | None] = set()

    def verify(pairs: Any) -> list[Verdict]:
        """Fail for all responses to the first problem, and for one to the second."""
        verdicts = []
        for problem, _ in pairs:
            failed = problem.answer == "2" or problem.answer not in seen
            seen.add(problem.answer)
            verdicts.append(Verdict("sandbox error", 0.0) if failed else Verdict("correct", 1.0))
        return verdicts

    told: list[str] = []
    asked = Asking(lambda r: EndpointSampler(r, SETTINGS), verify, tmp_path, report=told.append)
    section = Difficulty(models=[server.responder()], num_generations=2, drop_all_right=False)
    found = by_pass_rate(rows(1, 2), section, asked)
    assert found.drops == []
    assert [each.problem.labels.get("pass_rate") for each in found.kept] == [None, 1.0]
    assert told[-1] == "difficulty: 3 responses of tester have no verdict (our error): no rate counts them"


def test_a_filtered_response_says_nothing_of_a_problem(server: Server, tmp_path: Path) -> None:
    """Each counted as a wrong response: a problem that a server's filter never lets through was never solved."""
    seen: Counter[str] = Counter()

    def refuses(body: Any) -> bytes | None:
        """Withhold all responses to the first problem, and one to the second."""
        prompt = body["messages"][-1]["content"]
        seen[prompt] += 1
        if "Double 1" in prompt or seen[prompt] == 1:
            return b"The response was filtered due to the content management policy"
        return None

    server.refuses = refuses
    told: list[str] = []
    section = Difficulty(models=[server.responder()], num_generations=2, drop_all_right=False)
    found = by_pass_rate(rows(1, 2), section, asking(tmp_path, told))
    assert found.drops == []
    assert [each.problem.labels.get("pass_rate") for each in found.kept] == [None, 1.0]
    filtered = sum(row["verdict"] == "content filter" for row in read_jsonl(tmp_path / "asked.jsonl"))
    assert filtered >= 3
    said = (
        f"difficulty: {filtered} responses of tester were withheld by its server's content filter: no rate counts them"
    )
    assert told[-1] == said


@pytest.mark.parametrize("said", [VLLM, ENGINE, SGLANG, LLAMA])
def test_an_endpoint_that_refuses_a_long_prompt_loses_that_problem_alone(
    server: Server, tmp_path: Path, said: bytes
) -> None:
    refuse_long(server, said)
    told: list[str] = []
    section = Difficulty(models=[server.responder()], num_generations=2, drop_all_right=False)
    found = by_pass_rate([*rows(1), too_long(), *rows(2)], section, asking(tmp_path, told))
    assert [(drop.problem.id, drop.reason) for drop in found.drops] == [("long", "prompt_too_long")]
    assert [each.problem.labels["pass_rate"] for each in found.kept] == [1.0, 1.0]
    assert not [each for each in read_jsonl(tmp_path / "asked.jsonl") if each["reward"] and "long" in each["key"]]


def refuse_long(server: Server, said: bytes) -> None:
    server.refuses = lambda body: said if len(body["messages"][-1]["content"]) > 1000 else None


def test_a_prompt_with_some_room_is_asked_for_what_fits(server: Server) -> None:
    server.replies = [(400, OLD_VLLM)]
    ((sample,),) = EndpointSampler(server.responder(), SETTINGS).sample([Request("p", [{"content": "Double 1"}])])
    assert (sample.text, sample.refused) == ("\\boxed{2}", "")
    assert [body["max_tokens"] for body in server.seen] == [64, 12]


def test_another_refusal_still_ends_it(server: Server) -> None:
    server.replies = [(400, b"unknown field top_k")]
    with pytest.raises(UserError, match="unknown field"):
        EndpointSampler(server.responder(), SETTINGS).sample([Request("p", [{"content": "Double 1"}])])


def test_a_teacher_that_cannot_read_a_problem_leaves_it_without_a_trace(server: Server, tmp_path: Path) -> None:
    refuse_long(server, VLLM)
    server.answer = lambda body: (
        "Twice it is. " * 30 + f"\\boxed{{{2 * int(body['messages'][0]['content'].split()[1])}}}"
    )
    section = Distill(teacher=server.responder(), num_generations=2, rounds=2)
    all_rows = [*rows(1), too_long()]
    notes = distill(all_rows, section, asking(tmp_path, []))
    assert (notes["asked"], notes["rejected"].get("prompt_too_long")) == (2, 4)
    assert all_rows[1].problem.trace is None


def test_labels_of_a_problem_that_is_too_long_stay_as_they_are(server: Server, tmp_path: Path) -> None:
    refuse_long(server, VLLM)
    server.answer = lambda body: '{"subject": "algebra"}'
    assert label_by_model([too_long(), *rows(1)], server.responder(), asking(tmp_path, []))["asked"] == 2
