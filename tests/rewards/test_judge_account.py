"""What a judge costs: retries, a budget that is never exceeded, grades that are paid for once, and when it is given up.

Before a real HTTP server.
"""

import http.server
import json
import threading

import pytest

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.rewards.judge import Judge, JudgeSettings
from ringlite_cli.rewards.judge_account import FILE, JudgeAccount, Limits, account_of
from ringlite_cli.runs.files import read_jsonl

PROBLEM = Problem("p", "general", "Write.", verifier="judge")
USAGE = {"prompt_tokens": 300, "completion_tokens": 20}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
        with self.server.lock:
            self.server.asked += 1
            self.server.under_way += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.under_way)
            status, reply, headers = self.server.answer(text, self.server.asked)
        self.server.gate.wait(20)
        body = (
            {"choices": [{"message": {"content": reply}}], "usage": self.server.usage}
            if status == 200
            else {"error": reply}
        )
        content = json.dumps(body).encode()
        with self.server.lock:
            self.server.under_way -= 1
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    opened = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    opened.daemon_threads = True
    opened.lock, opened.gate = threading.Lock(), threading.Event()
    opened.gate.set()
    opened.asked = opened.under_way = opened.most_at_once = 0
    opened.usage = USAGE
    opened.answer = lambda text, count: (200, '{"grade": 7}', {})
    threading.Thread(target=opened.serve_forever, daemon=True).start()
    yield opened
    opened.shutdown()
    opened.server_close()


def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def a_judge(server, **settings):
    """A judge that does not really wait, and the seconds that it would have waited."""
    waited = []
    return Judge(JudgeSettings(address(server), "m", 10.0, **settings), waited.append), waited


def verify_all(server, count, **settings):
    given = VerifierSettings(workers=1, judge_url=address(server), judge_model="m", judge_retries=0, **settings)
    with Verifiers(given) as verify:
        return verify([(PROBLEM, f"essay {n}") for n in range(count)])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_full_or_failing_server_is_asked_again_later_and_later(server, status):
    server.answer = lambda text, count: (status, "busy", {}) if count < 4 else (200, '{"grade": 7}', {})
    judge, waited = a_judge(server)
    assert judge.submit(PROBLEM, "essay").result().reward == 0.7
    assert waited == [0.5, 1.0, 2.0]
    judge.close()


def test_a_server_that_says_how_long_it_is_full_is_believed(server):
    server.answer = lambda text, count: (429, "busy", {"Retry-After": "7"}) if count == 1 else (200, "7", {})
    judge, waited = a_judge(server)
    assert judge.submit(PROBLEM, "essay").result().verdict == "correct"
    assert waited == [7.0]
    judge.close()


def test_what_will_not_pass_is_asked_once(server):
    server.answer = lambda text, count: (401, "no key", {})
    judge, waited = a_judge(server)
    assert judge.submit(PROBLEM, "essay").result().verdict == "error"
    assert (server.asked, waited) == (1, [])
    judge.close()


def test_as_many_requests_as_allowed_run_at_a_time(server):
    server.gate.clear()
    judge, _ = a_judge(server, requests=3)
    futures = [judge.submit(PROBLEM, f"essay {n}") for n in range(9)]
    while server.under_way < 3:
        threading.Event().wait(0.01)
    server.gate.set()
    assert {future.result().verdict for future in futures} == {"correct"}
    assert server.most_at_once == 3
    judge.close()


def test_a_budget_is_not_exceeded_and_says_what_next(server, tmp_path):
    budget = 10_000
    with pytest.raises(UserError) as refused:
        verify_all(server, 60, judge_budget=budget, judge_folder=tmp_path, judge_requests=1)
    assert "rewards.judge_budget" in str(refused.value)
    assert "are used, and the next request may take" in str(refused.value)
    taken = account_of(tmp_path, Limits())
    assert taken["prompt_tokens"] + taken["reply_tokens"] <= budget
    assert 10 < taken["grades"] < 60
    asked = server.asked
    graded = verify_all(server, taken["grades"], judge_budget=budget, judge_folder=tmp_path)
    assert {verdict.reward for verdict in graded} == {0.7}
    assert server.asked == asked  # all are there already
    verify_all(server, 60, judge_budget=100_000, judge_folder=tmp_path)
    assert len({row["key"] for row in read_jsonl(tmp_path / FILE)}) == 60
    assert account_of(tmp_path, Limits())["requests"] == 60  # none was paid for twice


def test_money_is_a_budget_too(server, tmp_path):
    prices = {"judge_prompt_price": 10.0, "judge_reply_price": 30.0}
    with pytest.raises(UserError, match=r"rewards.judge_max_cost: .* of 0.20 are spent"):
        verify_all(server, 80, judge_max_cost=0.2, judge_folder=tmp_path, **prices)
    taken = account_of(tmp_path, Limits(prompt_price=10.0, reply_price=30.0))
    assert taken["cost"] == pytest.approx(taken["grades"] * (300 * 10 + 20 * 30) / 1e6)
    assert taken["cost"] <= 0.2


def test_a_request_that_waits_for_room_gets_what_others_give_back():
    """Two requests may take more than the budget together, and take less."""
    account, entered = JudgeAccount(Limits(tokens=7000)), threading.Event()

    def second():
        with account.request("b", 300, 4096):
            entered.set()

    with account.request("a", 300, 4096) as first:
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.3)
        first.prompt_tokens, first.reply_tokens = 300, 20
    assert entered.wait(20)
    thread.join()
    assert account.spent.prompt + account.spent.reply == 320


@pytest.mark.parametrize("nonsense", [(200, "I would say it is nice.", {}), (404, "no such model", {})])
def test_a_judge_that_mostly_gives_no_grade_stops_the_work(server, nonsense):
    server.answer = lambda text, count: nonsense
    with pytest.raises(WorkFailed, match=f"gave no grade in .* answers; the last: .*{nonsense[1][:12]}"):
        verify_all(server, 60)
    assert server.asked < 60


def test_a_few_failures_are_counted_and_go_on(server):
    server.answer = lambda text, count: (200, "nice" if count % 4 == 0 else "7", {})
    verdicts = [verdict.verdict for verdict in verify_all(server, 60)]
    assert verdicts.count("error") == 15
    assert verdicts.count("correct") == 45


@pytest.mark.parametrize(
    "usage",
    [
        [300, 20],
        "about 300",
        {"prompt_tokens": "many", "completion_tokens": [20]},
        {"prompt_tokens": -300, "completion_tokens": -20},
    ],
)
def test_a_server_that_counts_nonsense_gets_its_grade_kept_and_is_counted_by_us(server, tmp_path, usage):
    server.usage = usage
    (verdict,) = verify_all(server, 1, judge_folder=tmp_path)
    assert (verdict.verdict, verdict.reward) == ("correct", 0.7)
    taken = account_of(tmp_path, Limits())
    assert taken["grades"] == 1
    assert taken["prompt_tokens"] > 100  # no fewer than it can have taken: the budget holds
    assert taken["reply_tokens"] > 5


def test_a_grade_is_known_by_all_that_the_judge_reads(server, tmp_path):
    other = Problem("p", "general", "Write.", verifier="judge", labels={"context": [
        {"role": "system", "content": "Be brief."}]})  # fmt: skip
    texts = []
    server.answer = lambda text, count: (texts.append(text), (200, "7", {}))[1]
    judge, _ = a_judge(server, folder=tmp_path)
    for problem, response in ((PROBLEM, "a"), (PROBLEM, "a"), (PROBLEM, "b"), (other, "a")):
        judge.submit(problem, response).result()
    assert server.asked == 3
    assert "Be brief." in texts[-1]  # the turns before the prompt are read
    judge.close()
    again, _ = a_judge(server, folder=tmp_path)
    found = again.submit(PROBLEM, "a").result()
    assert (found.reward, found.numbers["judge_tokens"], server.asked) == (0.7, 0.0, 3)
    again.close()
