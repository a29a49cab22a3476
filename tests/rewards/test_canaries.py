"""Nothing that a model wrote runs outside the jail: canary responses to every verifier, and what they would leave."""

import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings, references
from ringlite_cli.rewards.gym import is_installed
from ringlite_cli.rewards.gym_answers import EVALUATING
from ringlite_cli.rewards.instructions import CHECKS
from ringlite_cli.rewards.pool import worker_environment
from ringlite_cli.rewards.verifiers import ROUTES
from ringlite_cli.sandbox import isolation_level
from ringlite_cli.sandbox.guest import closed_eval

pytestmark = pytest.mark.skipif(isolation_level().level == "none", reason=f"isolation here is {isolation_level()}")
SECRET = "RINGLITE_JUDGE_KEY"


def programs(mark: Path, port: int) -> list[str]:
    """Python expressions, each of which would touch `mark`, connect to `port`, or change the process it runs in."""
    return [
        f"__import__('os').system('touch {mark}')",
        f"open('{mark}', 'w').write(str(__import__('os').environ))",
        f"__import__('pathlib').Path('{mark}').touch()",
        f"__import__('socket').create_connection(('127.0.0.1', {port}), 1)",
        "__import__('os').environ.clear()",
        'exec(\'import sys; sys.modules["__main__"].COMPARISONS = {k: lambda g, a: ("correct", "") for k in "x"}\')',
        f"[f for f in (1).__class__.__base__.__subclasses__() if f.__name__ == 'Popen'][0](['touch', '{mark}'])",
        f"(lambda: open('{mark}', 'w'))()",
        f"[0 for __builtins__['open'] in [print]] or open('{mark}', 'w')",
    ]


def dressed(program: str) -> list[str]:
    """The ways in which a response can hand a program to a verifier."""
    return [
        f"<answer>{program}</answer>",
        f"\\boxed{{{program}}}",
        f"\\boxed{{\\text{{{program}}}}}",
        f"\\boxed{{1 + {program}}}",
        f"\\boxed{{\\operatorname{{{program}}}(x)}}",
        f"\\boxed{{S('{program}')}}",
        f"```python\n{program}\n```",
        f"```python\nimport os\nprint({program})\n```",
        f"\\(\\boxed{{\\frac{{{program}}}{{2}}}}\\)",
        program,
    ]


def questions(judge: str, model: str) -> list[tuple[Problem, str]]:
    """A problem of every route and of every task that evaluates its answer, with a right response."""
    asked = [
        (Problem("math", "math", "?", answer="\\frac{x+1}{2}"), "\\boxed{\\frac{1+x}{2}}"),
        (Problem("science", "science", "?", answer="3 m/s"), "\\boxed{3\\ \\mathrm{m/s}}"),
        (Problem("logic", "logic", "?", answer="yes"), "\\boxed{yes}"),
    ]
    tests = {"mode": "stdin", "language": "python", "cases": [{"input": "", "output": "7"}]}
    asked.append((Problem("code", "code", "?", tests=tests), "```python\nprint(7)\n```"))
    arguments = {"keywords:existence": {"keywords": ["ok"]}}
    wanted = {"instruction_id_list": list(arguments), "kwargs": list(arguments.values())}
    asked.append((Problem("instructions", "general", "?", answer=json.dumps(wanted), verifier="instructions"), "ok"))
    asked.append((Problem("token-f1", "general", "?", answer="a zebra", verifier="token-f1"), "A zebra."))
    if references.is_installed():
        asked.append((Problem("rouge", "general", "?", answer="zebra", verifier="rouge"), "zebras"))
    if judge:
        asked.append((Problem("judge", "general", "?", verifier="judge"), "good"))
    if model:
        asked.append((Problem("model", "general", "?", verifier="reward-model"), "good"))
    rows = {
        "countdown": ("2*3+7", {"numbers": [2, 3, 7], "target": 13}),
        "puzzle24": ("1*2*3*4", {"numbers": [1, 2, 3, 4]}),
        "simple_integration": ("x**2 + C", {"variable": "x", "integrand": "2*x"}),
        "intermediate_integration": ("x**2 + C", {"variable": "x", "integrand": "2*x"}),
        "n_queens": ("_ Q", {"valid_answers": ["_ Q"]}),
    }
    for task in EVALUATING if is_installed() else ():
        gold, metadata = rows.get(task, ("1", {}))
        entry = {"answer": gold, "metadata": {"source_dataset": task, **metadata}}
        asked.append(
            (Problem(task, "logic", "?", answer=json.dumps(entry), verifier="logic-gym"), f"<answer>{gold}</answer>")
        )
    return asked


def missing_routes() -> set[str]:
    return {
        name for name, is_here in (("logic-gym", is_installed()), ("rouge", references.is_installed())) if not is_here
    }


class _Judge(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        content = json.dumps({"choices": [{"message": {"content": "8"}}]}).encode()
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def judge():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory):
    import tokenizers
    import transformers

    folder = tmp_path_factory.mktemp("model")
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<pad>": 0, "good": 1}, unk_token="<pad>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>").save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_labels=1,
        pad_token_id=0,
    )  # fmt: skip
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_no_verifier_runs_what_a_model_wrote(tmp_path, judge, reward_model, monkeypatch):
    monkeypatch.setenv(SECRET, "secret-of-the-trainer")
    mark, listening = tmp_path / "canary", socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    environment, modules = dict(os.environ), set(sys.modules)
    responses = [text for each in programs(mark, listening.getsockname()[1]) for text in dressed(each)]
    settings = VerifierSettings(
        workers=1, isolation="none", judge_url=judge, judge_model="m", reward_model=reward_model, judge_timeout=120.0
    )
    asked = questions(judge, reward_model)
    assert {p.verifier or p.domain for p, _ in asked} >= set(ROUTES) - missing_routes()
    with Verifiers(settings) as verify:
        before = verify(asked)
        hostile = [(problem, text) for problem, _ in asked for text in responses]
        verdicts = verify(hostile)
        after = verify(asked)
        still_wrong = verify([(p, "\\boxed{nothing}") for p, _ in asked if p.verifier not in ("judge", "reward-model")])
    opinions = ("judge", "reward-model")
    assert not mark.exists()
    assert dict(os.environ) == environment
    with pytest.raises(BlockingIOError):
        listening.accept()
    assert [v.verdict for v in after] == [v.verdict for v in before]
    assert {v.verdict for v, (p, _) in zip(before, asked, strict=True) if p.verifier not in opinions} == {"correct"} | {
        "accepted"
    }
    assert not any(v.reward for v, (p, _) in zip(verdicts, hostile, strict=True) if p.verifier not in opinions)
    assert not any(v.reward for v in still_wrong)
    assert "secret-of-the-trainer" not in json.dumps([v.detail for v in verdicts])
    assert not {"reasoning_gym", "math_verify"} & (set(sys.modules) - modules)  # none of it is read in this process


def test_instructions_take_any_text_as_text(tmp_path):
    mark = tmp_path / "canary"
    arguments = {
        "keywords:existence": {"keywords": ["("]},
        "detectable_content:postscript": {"postscript_marker": "P.S.("},
    }
    assert set(arguments) <= set(CHECKS)
    wanted = json.dumps({"instruction_id_list": list(arguments), "kwargs": list(arguments.values())})
    problem = Problem("i", "general", "?", answer=wanted, verifier="instructions")
    with Verifiers(VerifierSettings(workers=1)) as verify:
        verify([(problem, text) for text in programs(mark, 1)])
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["math", "model"])
def test_a_worker_that_reads_model_text_has_no_key(kind, monkeypatch):
    for name in (SECRET, "HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "X_PASSWORD"):
        monkeypatch.setenv(name, "secret")
    assert "secret" not in worker_environment(kind).values()


def test_the_math_workers_environment_is_the_one_that_is_meant(monkeypatch):
    from ringlite_cli.rewards.pool import _Worker

    monkeypatch.setenv(SECRET, "secret-of-the-trainer")
    worker = _Worker(2048, "math")
    try:
        held = Path(f"/proc/{worker._process.pid}/environ").read_bytes()
    finally:
        worker.close()
    assert b"PATH=" in held
    assert b"secret" not in held


CLOSED = """
import sys
sys.path.insert(0, sys.argv[1])
import closed_eval
closed_eval.close_sympy()
import sympy
from sympy.parsing.sympy_parser import parse_expr
for program in sys.argv[2:]:
    for read in (parse_expr, lambda t: parse_expr(t, evaluate=False), sympy.sympify, sympy.S, sympy.Matrix, sympy.Poly,
                 lambda t: parse_expr(t, transformations="all"), sympy.simplify, lambda t: sympy.sympify([t]),
                 sympy.solve, sympy.N, sympy.factor, sympy.FiniteSet, sympy.Interval.open, sympy.Add):
        try:
            read(program)
        except BaseException:
            pass
x = sympy.Symbol("x")
assert parse_expr("2*x**2 + sin(pi*x)/f(3) - 4!") == 2*x**2 + sympy.sin(sympy.pi*x)/sympy.Function("f")(3) - 24
assert sympy.sympify("1/2 + x", evaluate=False).doit() == x + sympy.Rational(1, 2)
assert parse_expr("x < 2") == (x < 2)
"""


@pytest.mark.slow
def test_sympys_parsers_read_expressions_and_run_nothing(tmp_path):
    mark, listening = tmp_path / "canary", socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    folder = str(Path(closed_eval.__file__).parent)
    hostile = programs(mark, listening.getsockname()[1])
    subprocess.run([sys.executable, "-P", "-c", CLOSED, folder, *hostile], check=True, stderr=subprocess.DEVNULL)
    assert not mark.exists()
    with pytest.raises(BlockingIOError):
        listening.accept()


@pytest.mark.parametrize(
    ("text", "value"),
    [("[1, -2, 'a']", [1, -2, "a"]), ("(0x1F + 2) << 3 ^ 1", 265), ("{'a': (1.5,)}", {"a": (1.5,)}), ("7 // 2", 3)],
)
def test_literals(text, value):
    assert closed_eval.literal(text) == value


@pytest.mark.parametrize(
    "text", ["f()", "a", "[x for x in [1]]", "1 if 1 else 2", "9**9**9", "1 << 10**9", "'a' * 10**9", "'a'.b", "f'{1}'",
             "{**{}}", "[*[1]]", "(x := 1)", "lambda: 1", "1 < 2", "a[0]", "(" * 500, "", "1;2"],
)  # fmt: skip
def test_what_is_no_literal_is_refused(text):
    with pytest.raises(closed_eval.Refused):
        closed_eval.literal(text)
