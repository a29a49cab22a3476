"""The page as a whole: what stands on it, from whole runs, broken runs and hostile runs."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_run import edit, make_run, put, put_rows

from ringlite_cli.errors import UserError
from ringlite_cli.report import write_report

SECTIONS = ["scores", "curation", "sft", "select", "rl", "tokens", "rollouts", "provenance"]
VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = "</script></pre><img src=x onerror=alert(1)><script>alert(2)</script>\"'&"


class Page(HTMLParser):
    """The parsed page: its tags with their attributes, and whether all of them close in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "demo", note="toy: scores mean nothing")


@pytest.fixture
def run(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "demo"))


def report(run: Path) -> tuple[str, Page]:
    html = write_report(run).read_text(encoding="utf-8")
    return html, Page(html)


def test_report_of_a_whole_run_has_every_section_and_figure(whole):
    html, page = report(whole)
    assert [a["id"] for a in page.all("section")] == SECTIONS
    assert 'class="say missing"' not in html
    titles = re.findall(r"<figcaption[^>]*>([^<]*)<", html)
    for title in (
        "Rows in, dropped by reason, out",
        "Loss",
        "Entropy of the policy",
        "Responses verified right",
        "Reward by domain",
        "Gradient norm",
        "Tokens trained and dropped",
        "Response length",
        "Step time",
        "KL to the reference",
        "Clipped ratios",
        "math: avg@4, 95 % intervals",
    ):
        assert title in titles
    assert titles.count("Reward") == 1  # one timeline over both RL stages


def test_note_of_the_recipe_stands_above_the_summary(whole):
    html, _ = report(whole)
    assert html.index("toy: scores mean nothing") < html.index('class="summary"')


def test_summary_says_which_intervals_are_apart(whole):
    _, page = report(whole)
    assert "All 6 stages are done in 9 min" in page.text
    assert "From select to rl-math, in points: math +17.8 (intervals apart)" in page.text
    assert "logic −0.4 (overlapping)" in page.text
    assert "checkpoint-160" in page.text


def test_decision_and_warning_of_select_are_shown(run):
    edit(run / "select" / "decision.json", lambda d: d.update(warning="no checkpoint is inside the band"))
    html, page = report(run)
    assert "checkpoint-160 has the best pass@1" in page.text
    assert re.search(r'class="say warn"[^>]*>no checkpoint is inside the band<', html)


def test_a_candidate_that_failed_is_named_with_its_error(run):
    def fail(candidates):
        candidates[1].update(dict.fromkeys(("entropy", "pass@1", "pass@k", "entropy_ci95"), None), error="weights gone")

    edit(run / "select" / "candidates.json", fail)
    _, page = report(run)
    assert "checkpoint-80 could not be measured: weights gone" in page.text
    assert "not measured" in page.text


def test_notes_of_scores_and_of_curation_are_shown(run):
    edit(run / "eval" / "scores.json", lambda s: s["base"]["math"].update(notes=["30% of the responses were cut"]))
    _, page = report(run)
    assert "base on math: 30% of the responses were cut." in page.text
    assert "Rows kept, by what verified them: verifier 9,512, nothing 141." in page.text


def test_responses_without_a_verdict_count_neither_as_right_nor_as_wrong(run):
    row = json.loads((run / "rl-math" / "rollouts.jsonl").read_text().splitlines()[0])
    put_rows(run / "rl-math", "rollouts.jsonl", [row | {"reward": None, "advantage": None, "truncated": True}])
    _, page = report(run)
    assert "? no verdict" in page.text
    assert "cut at the length limit" in page.text


def test_page_loads_nothing_and_only_its_own_script_may_run(whole):
    html, page = report(whole)
    for tag, attrs in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            leads = (
                ("#", "./") if (tag, name) == ("a", "href") else "#"
            )  # a reader may follow a link to the run's files
            assert attrs.get(name, "#").startswith(leads), (name, attrs[name])
    assert "@import" not in html
    assert "url(" not in html
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_ids_are_unique_and_references_resolve(whole):
    _, page = report(whole)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    named = [a[k] for _, a in page.tags for k in ("aria-labelledby", "aria-describedby") if k in a]
    assert named
    assert set(named) <= set(ids)
    links = {a["href"] for a in page.all("a")}
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    files = {link for link in links if not link.startswith("#")}
    assert len(files) > 10
    assert all((whole / unquote(link)).is_file() for link in files)


def test_page_can_be_read_by_ear(whole):
    html, page = report(whole)
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        assert svg["aria-labelledby"]
        assert svg["aria-describedby"]
    assert html.count("<desc ") == len(page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert {tag for tag, _ in page.tags} >= {"header", "nav", "main", "footer", "h1", "h2", "h3"}
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_text_from_models_and_files_is_escaped(run):
    def spoil(row):
        return row | dict.fromkeys(("prompt", "response", "verdict", "domain", "prompt_id"), HOSTILE)

    rows = [json.loads(line) for line in (run / "rl-math" / "rollouts.jsonl").read_text().splitlines()]
    put_rows(run / "rl-math", "rollouts.jsonl", [spoil(row) for row in rows])
    edit(run / "select" / "decision.json", lambda d: d.update(reason=HOSTILE, picked=HOSTILE, warning=HOSTILE))
    edit(run / "curate" / "funnel.json", lambda d: d.update(by_source={HOSTILE: d["by_source"]["demo-math"]}))
    edit(run / "curate" / "funnel.json", lambda d: d["dropped"].update({HOSTILE: 9}))
    edit(run / "eval" / "scores.json", lambda d: d.update({HOSTILE: {HOSTILE: d["base"]["math"]}}))
    for path in run.glob("*/manifest.json"):
        edit(path, lambda m: m.update(note=HOSTILE, message=HOSTILE, recipe={"note": HOSTILE, HOSTILE: HOSTILE}))
        edit(path, lambda m: m.update(versions={HOSTILE: HOSTILE}, parent=[HOSTILE]))
    metrics = [json.loads(line) for line in (run / "rl-mixed" / "metrics.jsonl").read_text().splitlines()]
    put_rows(run / "rl-mixed", "metrics.jsonl", [m | {"reward_by_domain": {HOSTILE: 1.0, "b": 0}} for m in metrics])
    html, page = report(run)
    assert "onerror=alert" in page.text
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert "<script>alert" not in html


@pytest.mark.parametrize("kept", [["curate"], ["curate", "sft"], ["rl-mixed"], ["eval"], ["select", "eval"], ["sft"]])
def test_stages_that_are_not_there_are_said_in_one_line(run, kept):
    for stage in [p for p in run.iterdir() if p.is_dir() and p.name not in kept]:
        shutil.rmtree(stage)
    html, page = report(run)
    assert [a["id"] for a in page.all("section")] == SECTIONS
    assert html.count('class="say missing"') >= 8 - 2 - 2 * len(kept)
    for stage in kept:
        assert f"<b>{stage}</b>" in html


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "curate/funnel.json",
        "sft/metrics.jsonl",
        "sft/checkpoints.json",
        "select/candidates.json",
        "select/decision.json",
        "rl-math/metrics.jsonl",
        "rl-math/rollouts.jsonl",
        "rl-math/manifest.json",
        "eval/scores.json",
        "eval/manifest.json",
    ],
)
@pytest.mark.parametrize("how", ["gone", "empty", "torn", "binary", "other"])
def test_any_file_may_be_missing_or_broken(run, name, how):
    path = run / name
    if how == "gone":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(
            {"empty": b"", "torn": whole[: len(whole) // 2], "binary": b"\xff\x00\xfe", "other": b"7"}[how]
        )
    _, page = report(run)
    assert [a["id"] for a in page.all("section")] == SECTIONS


def test_missing_files_are_named(run):
    (run / "rl-math" / "metrics.jsonl").unlink()
    (run / "select" / "decision.json").unlink()
    _, page = report(run)
    assert "rl-math/metrics.jsonl is missing" in page.text
    assert "select/decision.json is missing" in page.text


@pytest.mark.parametrize(
    ("status", "said"),
    [("running", "is still running"), ("failed", "failed: below"), ("interrupted", "was interrupted")],
)
def test_unfinished_stages_are_shown_as_such(run, status, said):
    edit(run / "rl-mixed" / "manifest.json", lambda m: m.update(status=status, message="the disk is full"))
    html, page = report(run)
    assert f"This run is not complete: rl-mixed ({status})" in page.text
    assert f'class="step st-{status}"' in html
    assert f"rl-mixed {said}" in page.text
    assert ("the disk is full" in page.text) == (status != "interrupted")


def test_stages_of_the_recipe_that_have_not_begun_are_listed(run):
    shutil.rmtree(run / "eval")
    stages = {name: {} for name in ("curate", "sft", "select", "rl-math", "rl-mixed", "eval")}
    put(run, "recipe.json", {"name": "demo", "stages": stages})
    html, page = report(run)
    assert "This run is not complete: eval (not started)" in page.text
    assert 'class="step st-not-started"' in html


def test_page_is_the_same_for_the_same_files(whole):
    assert report(whole)[0] == report(whole)[0]


@pytest.mark.slow
def test_long_runs_stay_small_and_their_rollouts_are_a_sample(tmp_path):
    run = make_run(tmp_path / "long", rl_steps=5000, sft_steps=20_000)
    rows = (run / "rl-math" / "rollouts.jsonl").read_text()
    (run / "rl-math" / "rollouts.jsonl").write_text(rows * 12)  # about 30 MB
    html, page = report(run)
    assert len(html) < 4_000_000
    assert "rollouts of RL are on this page: " in page.text
    assert 8 <= len([a for a in page.all("details") if "rollout" in a.get("class", "")]) <= 40


def test_long_responses_are_cut_and_say_so(run):
    row = json.loads((run / "rl-math" / "rollouts.jsonl").read_text().splitlines()[0])
    put_rows(run / "rl-math", "rollouts.jsonl", [row | {"response": "x" * 1_000_000}])
    html, page = report(run)
    assert "997,000 more characters in rl-math/rollouts.jsonl" in page.text
    assert len(html) < 600_000


def test_what_is_no_run_is_refused(tmp_path, whole):
    with pytest.raises(UserError, match="no such run folder"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "notes").mkdir()
    with pytest.raises(UserError, match="not a run"):
        write_report(tmp_path)
    with pytest.raises(UserError, match="one stage, not a run"):
        write_report(whole / "sft")


def test_report_that_can_not_be_written_fails_in_words(run):
    (run / "report.html").unlink(missing_ok=True)
    (run / "report.html").mkdir()
    with pytest.raises(UserError, match="can't be written"):
        write_report(run)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def mutate(value, path, new):
    """The value with what lies at `path` (indices into keys or items) replaced."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    key = list(copy)[path[0] % len(copy)] if isinstance(copy, dict) else path[0] % len(copy)
    copy[key] = mutate(copy[key], path[1:], new)
    return copy


@pytest.mark.slow
@given(changes=st.lists(st.tuples(st.integers(0, 99), st.lists(st.integers(0, 30), max_size=5), JSON), max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_of_any_file_breaks_the_report(whole, tmp_path_factory, changes):
    run = Path(shutil.copytree(whole, tmp_path_factory.mktemp("mutated") / "demo"))
    files = sorted(run.rglob("*.json")) + sorted(run.rglob("*.jsonl"))
    for which, path, new in changes:
        file = files[which % len(files)]
        rows = [json.loads(line) for line in file.read_text().splitlines()[:40]]
        changed = mutate(rows, [0, *path] if file.suffix == ".json" else path, new)
        rows = changed if isinstance(changed, list) else [changed]
        file.write_text("\n".join(json.dumps(row) for row in rows))
    html = write_report(run).read_text()
    assert [a["id"] for a in Page(html).all("section")] == SECTIONS
    assert not re.search(r'"(nan|-?inf)"|[ ,ML](nan|inf)', re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL))
    shutil.rmtree(run)


def paper_settings(run: Path, task: str, **changes: object) -> None:
    """Makes the run's math scores those of a benchmark, at the paper's settings but for `changes`."""
    section = {"kind": "eval", "temperature": 1.0, "top_p": 0.95, "max_completion_length": 32_768} | changes
    edit(run / "eval" / "manifest.json", lambda m: m.update(recipe=section))
    edit(run / "eval" / "scores.json", lambda s: s["rl-math"].update({task: s["rl-math"]["math"] | {"n": 30, "k": 32}}))


@pytest.mark.parametrize("task", ["aime24", "AIME-24", "aime_24"])
def test_published_scores_stand_beside_the_same_task_and_are_marked_as_theirs(run, task):
    paper_settings(run, task)
    html, page = report(run)
    assert "Beside published scores" in page.text
    row = re.search(r">AIME24</th>\s*<td[^>]*>Ring-lite</td>\s*<td[^>]*>published</td>\s*<td[^>]*>([^<]*)<", html)
    assert row[1] == "76.61\u00a0%"
    assert re.search(r">AIME24</th>\s*<td[^>]*>rl-math</td>\s*<td[^>]*>this run</td>", html)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_completion_length": 110}, "max_completion_length is 110 here and 32,768 there"),
        ({"temperature": 0.0, "top_p": 1.0}, "temperature is 0 here and 1 there and top_p is 1 here and 0.95 there"),
        ({"top_p": None}, "top_p is not known here and 0.95 there"),
    ],
)
def test_published_scores_of_other_settings_are_not_shown(run, changes, said):
    paper_settings(run, "aime24", **changes)
    _, page = report(run)
    assert "Beside published scores" not in page.text
    assert f"No published scores stand beside aime24: {said}." in page.text


def test_published_scores_need_all_problems_and_as_many_samples(run):
    paper_settings(run, "aime24")
    edit(run / "eval" / "scores.json", lambda s: s["rl-math"]["aime24"].update(n=10, k=4))
    _, page = report(run)
    assert "beside aime24: 10 problems here and 30 there and 4 samples a problem here and 32 there." in page.text


def test_verdicts_are_told_by_domain_and_policy_and_of_rollouts(run):
    verdicts = {"correct": 90, "wrong_answer": 100, "no_answer": 10}
    edit(run / "eval" / "scores.json", lambda s: s["select"]["math"].update(verdicts=verdicts))
    html, page = report(run)
    table = html[html.index("Verdicts of eval: share") :]
    cells = re.search(r">math</th>\s*<td[^>]*>select</td>(.*?)</tr>", table, re.DOTALL)[1]
    assert re.findall(r">([^<]+)</td>", cells) == ["200", "50.0\u00a0%", "45.0\u00a0%", "5.0\u00a0%"]
    assert "Verdicts of rl-math's rollouts" in page.text
    edit(run / "eval" / "scores.json", lambda s: [t.pop("verdicts") for p in s.values() for t in p.values()])
    assert "Verdicts of eval" not in report(run)[1].text


def test_every_figure_has_its_numbers_as_a_table(whole):
    html, page = report(whole)
    figures = re.findall(r"<figure>(.*?)</figure>", html, re.DOTALL)
    assert len(figures) == len(page.all("svg"))
    for figure in figures:
        assert 'class="numbers"' in figure
        rows = figure.count("<tr>") - 1
        assert 1 <= rows <= 20
    reward = next(f for f in figures if ">Reward<" in f)
    steps = [json.loads(line) for line in (whole / "rl-math" / "metrics.jsonl").read_text().splitlines()]
    first = sum(row["reward"] for row in steps[:6]) / 6  # 80 + 40 steps in 20 rows
    assert re.search(rf"<th scope=row>1 – 6</th><td class=num>{first:.3f}</td>", reward)
