"""A policy behind a real HTTP server that speaks OpenAI's protocol as vLLM does, with a tiny model in it."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from policies import write_tiny_policy
from pydantic import ValidationError

from ringlite_cli.errors import UserError
from ringlite_cli.evals.evaluate import evaluate
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.sampling.score import sampled_entropy
from ringlite_cli.sampling.server import EXTRAS, ServerSampler
from ringlite_cli.sampling.transformers_sampler import TransformersSampler
from ringlite_cli.stages.parts.samplers import open_sampler, open_samplers

SETTINGS = SamplingSettings(max_completion_length=12, temperature=0)
REQUESTS = [Request(f"p{i}", [{"role": "user", "content": f"{i} + {i}?"}], num_generations=2) for i in range(3)]


class Served:
    """The server; `plain` makes it one that knows nothing beyond OpenAI's fields."""

    def __init__(self, policy: Path) -> None:
        self.policy, self.plain = policy, False
        self.bodies: list[dict] = []
        self.engine = TransformersSampler(policy, settings=SETTINGS, device="cpu")
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = {"id": "tiny", "root": str(owner.policy)} if self.path == "/v1/models" else None
                self._say(200 if known else 404, {"data": [known]})

            def do_POST(self) -> None:
                self._say(*owner.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

            def _say(self, status: int, body: dict) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def answer(self, body: dict) -> tuple[int, dict]:
        with self._lock:
            self.bodies.append(body)
            if self.plain and set(EXTRAS) & set(body):
                return 400, {"error": "unknown field"}
            self.engine.settings = replace(
                SETTINGS, max_completion_length=body["max_tokens"], temperature=body["temperature"], top_p=body["top_p"]
            )
            sample = self.engine.sample([Request(str(body["seed"]), body["messages"])])[0][0]
        choice = {"message": {"content": sample.text}, "finish_reason": "length" if sample.truncated else "stop"}
        if body.get("return_token_ids"):
            choice["token_ids"] = list(sample.token_ids)
        usage = {"prompt_tokens": sample.prompt_tokens, "completion_tokens": len(sample.token_ids)}
        return 200, {"choices": [choice], "usage": usage}

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(write_tiny_policy(tmp_path / "policy", scale=0.3))
    yield server
    server.close()


def test_a_served_policy_is_found_by_its_folder_and_gives_its_own_tokens_and_entropy(served: Served) -> None:
    engine = Engine(name="server", url=served.url, concurrency=3)
    local = TransformersSampler(served.policy, settings=SETTINGS, device="cpu")
    remote = open_sampler(served.policy, SETTINGS, engine, "float32")
    assert isinstance(remote, ServerSampler)
    done: list[str] = []
    told = []
    found = remote.sample(REQUESTS, on_done=lambda r, group: done.append(r.problem_id), progress=told.append)
    expected = local.sample(REQUESTS)
    assert [[s.token_ids for s in group] for group in found] == [[s.token_ids for s in group] for group in expected]
    assert [[(s.text, s.truncated, s.prompt_tokens) for s in g] for g in found] == [
        [(s.text, s.truncated, s.prompt_tokens) for s in g] for g in expected
    ]
    assert sorted(done) == ["p0", "p1", "p2"]
    assert (told[-1].done, told[-1].total) == (6, 6)
    assert {body["model"] for body in served.bodies} == {"tiny"}
    assert all(EXTRAS.items() <= body.items() for body in served.bodies), "the model's own defaults would change it"
    assert len({body["seed"] for body in served.bodies}) == 6
    pairs = [(r, s) for r, group in zip(REQUESTS, found, strict=True) for s in group]
    assert sampled_entropy(remote, pairs) == pytest.approx(sampled_entropy(local, pairs), abs=1e-6)


def test_a_server_that_knows_only_openais_fields_still_evaluates_but_gives_no_entropy(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served.plain = True
    problems = [Problem(r.problem_id, "logic", r.messages[0]["content"], "0") for r in REQUESTS]
    with open_samplers(Engine(name="server", url=served.url, model="tiny"), "float32") as make_sampler:
        scores = evaluate(
            {"tiny": "tiny"}, {"mix": problems}, make_sampler, lambda pairs: [Verdict("wrong", 0.0)] * len(pairs),
            tmp_path / "out", EvalSettings(num_generations=2, max_completion_length=12),
        )  # fmt: skip
        remote = make_sampler(served.policy, SETTINGS)
        sample = remote.sample(REQUESTS[:1])[0][0]
    rows = read_jsonl(tmp_path / "out" / "responses.jsonl")
    assert all(0 < row["tokens"] <= 12 for row in rows)
    assert scores["tiny"]["mix"]["tokens"] == sum(row["tokens"] for row in rows)
    assert "the model's own sampling defaults may hold" in caplog.text
    with pytest.raises(UserError, match="the server gives no token ids"):
        sampled_entropy(remote, [(REQUESTS[0], sample)])


def test_a_policy_that_is_not_served_and_a_server_that_is_not_there(served: Served, tmp_path: Path) -> None:
    engine = Engine(name="server", url=served.url)
    with pytest.raises(UserError, match=r"the server serves tiny, not .*other; start one with `vllm serve"):
        open_sampler(tmp_path / "other", SETTINGS, engine, "auto")
    with pytest.raises(UserError, match="the server serves tiny, not huge"):
        open_sampler("tiny", SETTINGS, engine.model_copy(update={"model": "huge"}), "auto")
    with pytest.raises(UserError, match=r"the server says HTTP 404; engine.url ends in /v1"):
        open_sampler("tiny", SETTINGS, Engine(name="server", url=served.url.removesuffix("/v1")), "auto")
    with pytest.raises(UserError, match="no OpenAI-compatible server answers there"):
        open_sampler("tiny", SETTINGS, Engine(name="server", url="http://127.0.0.1:9/v1"), "auto")
    with pytest.raises(ValidationError, match="go together"):
        Engine(name="server")
