"""The page in a headless Chromium: it fits its window, its script works, and what a reader does gives what it should.

One start of the browser for all tests, on one run whose texts are hostile. Skipped where there is no Chromium.
"""

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import MISSING, Browser
from make_run import edit, make_run, put, put_rows

from ringlite_cli.report import live, write_report

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING)]

HOSTILE = (
    "</script></template><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "\u2028\u2029'`${1}&lt;"
)
WIDTHS = (390, 800, 1400)
READY = (
    "for (let k = 0; k < 100 && !document.querySelector('.found'); k++) await new Promise((go) => setTimeout(go, 20));"
)


def responses(policy: str, rewards: list[list[float]]) -> list[dict[str, Any]]:
    """Evaluated responses of a policy on math: problem -> rewards."""
    return [
        {"policy": policy, "task": "math", "id": f"m{number}", "domain": "math", "sample": k, "reward": reward}
        | {"prompt": f"Problem {number}", "response": f"{policy} says {k} of {number}", "tokens": 9, "truncated": False}
        | {"verdict": "correct" if reward else "wrong"}
        for number, group in enumerate(rewards)
        for k, reward in enumerate(group)
    ]


def rollout(step: int, problem: str, domain: str, verdict: str, kept: int, response: str) -> dict[str, Any]:
    right = verdict == "correct"
    return {
        "step": step,
        "prompt_id": problem,
        "domain": domain,
        "prompt": f"What of {problem}? {HOSTILE}",
        "response": response,
        "verdict": verdict,
        "reward": float(right),
        "advantage": 0.5 if right else -0.5,
        "tokens": 50,
        "tokens_kept": kept,
        "truncated": False,
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("browser") / "demo", rl_steps=60, sft_steps=60, note="a note")
    for stage, domain in (("rl-math", "math"), ("rl-mixed", "code")):
        rows = [
            rollout(step, f"{domain}-{step % 3}", domain, verdict, kept, f"{verdict} at {step} {HOSTILE}")
            for step in range(1, 7)
            for verdict, kept in (("correct", 50), ("wrong", 20), ("unparsed", 0))
        ]
        put_rows(run / stage, "rollouts.jsonl", rows)
    rewards = {"select": [[0, 0], [1, 1], [1, 0], [0, 0]], "rl-mixed": [[1, 1], [1, 0], [1, 0], [0, 0]]}
    put_rows(run / "eval", "responses.jsonl", [row for policy, of in rewards.items() for row in responses(policy, of)])
    put_rows(run / "curate", "eval.jsonl", [{"id": "m0", "answer": f"42 {HOSTILE}"}, {"id": "m1", "answer": "7"}])
    edit(run / "eval" / "manifest.json", lambda m: m.update(inputs={"curate/eval": {"path": "curate/eval.jsonl"}}))
    edit(run / "rl-math" / "manifest.json", lambda m: m["recipe"].update(guard={"entropy": {"low": 0.3}}))
    put(run, "recipe.json", {"name": "demo", "stages": {"sft": {"kind": "sft"}}})
    return write_report(run)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("look", ["light", "dark", "print"])
def test_the_page_fits_its_window_without_a_complaint(chromium: Browser, page: Path, width: int, look: str) -> None:
    """Also with all that is folded open: nothing is wider than the window, and texts have the look's contrast."""
    chromium.open(page, width=width, dark=look == "dark")
    chromium.run(READY + "document.querySelectorAll('details').forEach((each) => { each.open = true; });")
    if look == "print":
        chromium.media("print")
    wide = chromium.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth;")
    assert wide <= 0, chromium.run(
        "const most = document.documentElement.clientWidth;"
        "return [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > most + 1"
        " && !e.closest('.scroll, .way, pre')).slice(0, 5).map((e) => e.outerHTML.slice(0, 200));"
    )
    assert chromium.complaints() == []
    inks = chromium.run(
        "const light = (color) => color.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + +part, 0) / 765;"
        "const of = (name) => light(getComputedStyle(document.body)[name]);"
        "return [of('color'), of('backgroundColor')];"
    )
    assert (inks[0] > inks[1] + 0.5) if look == "dark" else (inks[1] > inks[0] + 0.5)


def test_printing_opens_what_is_folded_and_makes_a_document(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    assert chromium.pdf().startswith(b"%PDF")


def test_no_text_of_a_model_becomes_a_part_of_the_page(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    chromium.run(READY + "document.querySelectorAll('details').forEach((each) => { each.open = true; });")
    found = chromium.run(
        "await new Promise((go) => setTimeout(go, 100));"
        "return [document.title, document.querySelectorAll('img').length, document.scripts.length,"
        " [...document.querySelectorAll('.group pre')].filter((e) => e.textContent.includes('onerror=')).length];"
    )
    assert found[:3] == ["demo · ringlite run report", 0, 1]
    assert found[3] > 10, "the hostile texts are not on the page, so nothing was tried"
    assert chromium.complaints() == []


def hover(chromium: Browser, title: str, share: float) -> str:
    """Point at a share of the width of a figure's plot and return what is read there."""
    at = chromium.run(
        "const titled = (e) => e.querySelector('figcaption').textContent === given[0];"
        "const figure = [...document.querySelectorAll('#rl figure')].find(titled);"
        "figure.scrollIntoView({ block: 'center', behavior: 'instant' });"
        "await new Promise((go) => requestAnimationFrame(go));"
        "const plot = figure.querySelector('g.plot'), [, , start, end] = plot.dataset.x.split(' ').map(Number);"
        "const box = figure.querySelector('svg').getScreenCTM();"
        "return [box.e + box.a * (start + given[1] * (end - start)), box.f + box.d * 120];",
        title,
        share,
    )
    chromium.point(*at)
    return chromium.run("return document.querySelector('.readout').textContent;")


def test_a_pointer_reads_the_steps_own_value_and_not_the_mean(chromium: Browser, page: Path) -> None:
    """60 + 30 steps on one axis: 1 to 90, so a share s of the plot is step 1 + 89 s."""
    rows = {
        stage: [json.loads(line) for line in (page.parent / stage / "metrics.jsonl").read_text().splitlines()]
        for stage in ("rl-math", "rl-mixed")
    }
    chromium.open(page)
    for stage, step, offset in (("rl-math", 1, 0), ("rl-math", 30, 0), ("rl-mixed", 5, 60), ("rl-mixed", 30, 60)):
        own = rows[stage][step - 1]["reward"]
        assert hover(chromium, "Reward", (offset + step - 1) / 89) == f"{stage} step {step}: reward {own:.3g}"
    longest = rows["rl-mixed"][4]["response_tokens_max"]
    assert f"longest {longest:.3g}".rstrip("0").rstrip(".") in hover(chromium, "Response length", 64 / 89)
    spike = rows["rl-math"][29]["grad_norm"]
    assert hover(chromium, "Gradient norm", 29 / 89) == f"rl-math step 30: norm {spike:.3g}"


def found(chromium: Browser, **filters: str) -> tuple[str, list[str]]:
    """Set filters by their labels; return what the browser of responses says, and the groups it lists."""
    return tuple(
        chromium.run(
            "const form = document.querySelector('.filters');"
            "for (const [name, value] of Object.entries(given[0])) form.elements[name].value = value;"
            "form.dispatchEvent(new Event('input', { bubbles: true }));"
            "return [document.querySelector('.found').textContent,"
            " [...document.querySelectorAll('.list > details > summary')].map((e) => e.textContent)];",
            filters,
        )
    )


def test_filters_of_responses_work(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    chromium.run(READY)
    assert found(chromium)[0] == "52 responses in 20 groups"  # 36 rollouts in 12 groups, 16 evaluated in 8
    assert found(chromium, **{"from": "rl"})[0] == "36 responses in 12 groups"
    assert found(chromium, domain="code")[0] == "18 responses in 6 groups"
    assert found(chromium, verdict="wrong")[0] == "6 responses in 6 groups"
    assert found(chromium, trained="none")[0] == "0 responses in 0 groups"
    assert found(chromium, verdict="unparsed")[0] == "6 responses in 6 groups"
    assert found(chromium, verdict="", trained="in part")[0] == "6 responses in 6 groups"
    words, groups = found(chromium, trained="", **{"step from": "2", "to": "4"})
    assert words == "9 responses in 3 groups"
    assert [re.search(r"step \d", group)[0] for group in groups] == ["step 2", "step 3", "step 4"]
    assert found(chromium, text="WRONG at 3")[0] == "1 response in 1 group"
    empty = dict.fromkeys(("from", "domain", "step from", "to", "text"), "")
    words, groups = found(chromium, policy="rl-mixed", **empty)
    assert words == "26 responses in 10 groups"  # 18 rollouts, and 8 evaluated
    assert sum("evaluated on math" in group for group in groups) == 4


def test_the_verdict_marks_a_response_and_its_reward_is_a_number_beside_it(
    chromium: Browser, page: Path, tmp_path: Path
) -> None:
    """Of several verifiers, weighted, with penalties: above 0 for a wrong response, below it for a right one."""
    run = Path(shutil.copytree(page.parent, tmp_path / "demo"))
    given = [("wrong", 0.2), ("correct", -0.1), ("partial", 0.25), ("partial", 0.75), ("accepted", 1.0), ("–", None)]
    rows = [
        rollout(1, "math-0", "math", verdict, 50, "r") | {"reward": reward if reward is None else reward + 1e-9}
        for verdict, reward in given
    ]
    put_rows(run / "rl-math", "rollouts.jsonl", rows)
    scored = [
        row | {"verdict": verdict, "reward": reward}
        for policy, verdict, reward in (("select", "wrong", 0.4), ("rl-mixed", "correct", 0.1))
        for row in responses(policy, [[1, 1]])
    ]
    put_rows(run / "eval", "responses.jsonl", scored)
    chromium.open(write_report(run))
    chromium.run(READY)
    assert found(chromium, policy="rl-math")[1][0].endswith("3 of 6 right")
    cards = chromium.run(
        "const item = document.querySelector('.list > details'); item.open = true;"
        "await new Promise((go) => setTimeout(go, 50));"
        "return [...item.querySelectorAll('.card .facts')].map((e) => [e.querySelector('b').textContent,"
        " [...e.querySelectorAll('span')].map((f) => f.textContent).filter((f) => f.startsWith('reward'))]);"
    )
    assert cards == [
        ["✗ wrong", ["reward 0.2"]],
        ["✓ correct", ["reward -0.1"]],
        ["✗ partial", ["reward 0.25"]],
        ["✓ partial", ["reward 0.75"]],
        ["✓ accepted", ["reward 1"]],
        ["? –", []],
    ]
    assert found(chromium, show="change")[0] == "1 won and 0 lost from select to rl-mixed, largest change first"


def rescored(row: dict[str, Any], verdict: str, reward: float) -> dict[str, Any]:
    was = {"verdict": row["verdict"], "reward": row["reward"], "revision": 1}
    return row | {"verdict": verdict, "reward": reward, "revision": 3, "was": was}


def test_rescored_verdicts_stand_beside_and_in_place_of_the_runs(chromium: Browser, page: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(page.parent, tmp_path / "demo"))
    rows = [
        rollout(1, "math-0", "math", verdict, 50, f"r{n}") for n, verdict in enumerate(("wrong", "correct", "wrong"))
    ]
    again = [rescored(rows[0], "correct", 1.0), rescored(rows[1], "correct", 1.0), rows[2]]
    later = rollout(2, "math-0", "math", "wrong", 50, "after rescoring")
    put_rows(run / "rl-math", "rollouts.jsonl", [*rows, later])
    put_rows(
        run / "rl-math" / "rescored" / "revision-2", "rollouts.jsonl", [rescored(row, "wrong", 0.0) for row in rows]
    )
    put_rows(run / "rl-math" / "rescored" / "revision-3", "rollouts.jsonl", [*again, rescored(rows[0], "correct", 1.0)])
    chromium.open(write_report(run))
    chromium.run(READY)
    cards = (
        "const item = document.querySelector('.list > details'); item.open = true;"
        "await new Promise((go) => setTimeout(go, 50));"
        "return [...item.querySelectorAll('.card .facts')].map((e) => e.textContent);"
    )
    words, groups = found(chromium, policy="rl-math")
    assert words == "4 responses in 2 groups; verdicts of the run"
    assert groups[0].endswith("1 of 3 right")
    own = chromium.run(cards)
    assert own[0].startswith("✗ wrong response 1 reward 0 rescored (revision 3) correct, reward 1 ")
    assert own[1].startswith("✓ correct response 2 reward 1 rescored (revision 3) the same ")
    assert "rescored" not in own[2]
    words, groups = found(chromium, verdicts="rescored")
    assert words == "4 responses in 2 groups; verdicts as rescored, where they are"
    assert groups[0].endswith("2 of 3 right")
    assert groups[1].endswith("0 of 1 right")
    assert chromium.run(cards)[0].startswith(
        "✓ correct response 1 reward 1 rescored (revision 3), before wrong, reward 0 "
    )
    assert found(chromium, verdict="correct")[0].startswith("2 responses in 1 group")
    assert found(chromium, verdicts="")[0].startswith("1 response in 1 group")
    assert "`ringlite rescore` verified 2 of these responses again" in (run / "report.html").read_text(encoding="utf-8")


def test_a_problem_is_read_everywhere_with_its_answer(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    chromium.run(READY)
    found(chromium, policy="select")
    told = chromium.run(
        "const group = document.querySelector('.list > details'); group.open = true;"
        "await new Promise((go) => setTimeout(go, 50));"
        "const seen = [group.querySelector('.gold').textContent, group.querySelectorAll('.card').length];"
        "[...group.querySelectorAll('button')].find((e) => e.textContent.includes('everywhere')).click();"
        "return [...seen, document.querySelector('.found').textContent,"
        " [...document.querySelectorAll('.list b')].map((e) => e.textContent)];"
    )
    assert told[0].startswith("42 </script>")
    assert told[1:3] == [2, "4 responses in 2 groups"]
    assert told[3] == ["select, evaluated on math", "rl-mixed, evaluated on math"]


def test_wins_and_losses_stand_side_by_side(chromium: Browser, page: Path) -> None:
    """m0: 0 % -> 100 %, won; m1: 100 % -> 50 %, lost; m2 and m3 stay."""
    chromium.open(page)
    chromium.run(READY)
    words, groups = found(chromium, show="change")
    assert words == "1 won and 1 lost from select to rl-mixed, largest change first"
    assert "won" in groups[0]
    assert "m0 select 0 % right → rl-mixed 100 % right" in groups[0]
    assert "m1 select 100 % right → rl-mixed 50 % right" in groups[1]
    pairs = chromium.run(
        "const item = document.querySelector('.list > details'); item.open = true;"
        "await new Promise((go) => setTimeout(go, 50));"
        "return [...item.querySelectorAll('.pair > div')].map((e) => e.querySelector('pre').textContent);"
    )
    assert pairs == ["select says 0 of 0", "rl-mixed says 0 of 0"]


def test_a_figure_is_taken_away_as_numbers_and_as_a_picture(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    csv, png = chromium.run(
        "const figure = [...document.querySelectorAll('figure')].find((e) => e.querySelector('figcaption').textContent"
        " === 'Response length'); const blobs = [];"
        "URL.createObjectURL = (blob) => { blobs.push(blob); return 'data:,'; };"
        "HTMLAnchorElement.prototype.click = function () { blobs[blobs.length - 1].named = this.download; };"
        "for (const button of figure.querySelectorAll('.tools button')) button.click();"
        "for (let k = 0; k < 100 && blobs.length < 2; k++) await new Promise((go) => setTimeout(go, 50));"
        "const bytes = new Uint8Array(await blobs[1].arrayBuffer());"
        "const image = await createImageBitmap(blobs[1]);"
        "const canvas = new OffscreenCanvas(image.width, image.height), pen = canvas.getContext('2d');"
        "pen.drawImage(image, 0, 0); const data = pen.getImageData(0, 0, image.width, image.height).data;"
        "const inks = new Set();"
        "for (let k = 0; k < data.length; k += 4) inks.add(data[k] << 16 | data[k + 1] << 8 | data[k + 2]);"
        "const told = [[...bytes.slice(1, 4)], image.width, inks.size];"
        "return [[blobs[0].named, await blobs[0].text()], [blobs[1].named, ...told]];"
    )
    rows = [json.loads(line) for line in (page.parent / "rl-math" / "metrics.jsonl").read_text().splitlines()]
    lines = csv[1].splitlines()
    assert csv[0] == "demo-response-length.csv"
    assert lines[0] == "stage,step,mean,longest"
    assert len(lines) == 1 + 60 + 30
    stage, step, mean, longest = lines[7].split(",")
    assert (stage, step) == ("rl-math", "7")
    assert float(mean) == pytest.approx(rows[6]["response_tokens_mean"], rel=1e-4)
    assert float(longest) == pytest.approx(rows[6]["response_tokens_max"], rel=1e-4)
    assert png[0] == "demo-response-length.png"
    assert bytes(png[1]) == b"PNG"
    assert png[2] == 1200
    assert png[3] > 20, "the picture has no colours: its style did not come along"


def test_tables_sort_by_keyboard(chromium: Browser, page: Path) -> None:
    """A head is a button: focused and pressed, it sorts its table up, then down, and says so by aria-sort."""
    chromium.open(page)
    said = chromium.run(
        """
        document.querySelectorAll('details').forEach((each) => { each.open = true; });
        const said = [];
        for (const table of document.querySelectorAll("main table:not(.numbers table)")) {
          const head = table.tHead.rows[0].cells[table.tHead.rows[0].cells.length - 1];
          const button = head.querySelector("button");
          button.focus();
          const row = [document.activeElement === button];
          for (const turn of [0, 1]) {
            button.click();
            const body = [...table.tBodies[0].rows].map((r) => r.cells[head.cellIndex]);
            const numeric = head.classList.contains("num");
            const values = body.map((c) => (numeric ? parseFloat(c.dataset.sort) : c.textContent));
            const kept = numeric ? values.filter((v) => !isNaN(v)) : values;
            const words = (a, b) => a.localeCompare(b, undefined, { numeric: true });
            const order = [...kept].sort(numeric ? (a, b) => a - b : words);
            if (turn) order.reverse();
            row.push(head.getAttribute("aria-sort"), JSON.stringify(kept) === JSON.stringify(order));
          }
          said.push(row);
        }
        return said;"""
    )
    assert len(said) > 8
    assert all(row == [True, "ascending", True, "descending", True] for row in said), said


def test_the_navigation_stays_in_sight_and_leads_to_its_sections(chromium: Browser, page: Path) -> None:
    chromium.open(page, width=800)
    top = chromium.run(
        "document.documentElement.style.scrollBehavior = 'auto';"
        "document.querySelector('.way a[href=\"#rollouts\"]').click();"
        "await new Promise((go) => setTimeout(go, 100));"
        "const box = document.querySelector('.way').getBoundingClientRect();"
        "return [box.top, document.querySelector('#rollouts').getBoundingClientRect().top >= box.bottom - 2];"
    )
    assert top == [0, True]


def live_state(chromium: Browser, unlike: str) -> str:
    """Return the state of a live page, once it is another than `unlike`; a page on its way gives none."""
    for _ in range(200):
        try:
            if (state := chromium.run("return document.body?.dataset.live || '';")) not in ("", unlike):
                return state
        except AssertionError:
            pass
        time.sleep(0.1)
    raise AssertionError("the page stayed as it was")


def test_a_live_page_shows_what_the_run_went_on_to(
    chromium: Browser, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_REST", 0.0)
    monkeypatch.setattr(live, "_SHARE", 0.0)
    run = Path(shutil.copytree(page.parent, tmp_path / "demo"))
    server = live.serve(live.LivePage(run))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        chromium.open(f"http://127.0.0.1:{server.server_port}/")
        before = live_state(chromium, "")
        chromium.run(READY)
        with (run / "rl-mixed" / "metrics.jsonl").open("a") as file:
            file.write('{"step": 31, "reward": 0.5}\n')
        chromium.run("setTimeout(ask, 20);")
        after = live_state(chromium, before)
        assert chromium.complaints() == []
        chromium.run(READY + "document.querySelector('.list > details').open = true;")
        with (run / "rl-mixed" / "metrics.jsonl").open("a") as file:
            file.write('{"step": 32, "reward": 0.5}\n')
        news = chromium.run(
            "await ask(); return [document.querySelector('#live-news')?.textContent, document.body.dataset.live];"
        )
        assert news == ["The run went on: show it", after], "a reader is asked first"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
