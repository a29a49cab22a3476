"""Where a run came from: its recipe beside another, links into its folder alone, time that was measured and money that
is assumed."""

import json
import re
from pathlib import Path

import pytest
from make_run import edit, make_run, put

from ringlite_cli.__main__ import run as run_cli
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.report import write_report
from ringlite_cli.report.pens import Prices
from ringlite_cli.report.recipe_diff import difference, resolved
from ringlite_cli.report.sections.provenance import link_to


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "demo", rl_steps=2, sft_steps=6)


def recipe(run: Path, *changes: str) -> None:
    put(run, "recipe.json", load_recipe("toy", changes).model_dump(mode="json"))


def details(page: str, summary: str) -> str:
    return re.search(rf"<summary>{summary}</summary>\s*<pre>(.*?)</pre>", page, re.DOTALL)[1]


def test_the_recipe_is_shown_against_the_shipped_one_of_its_name(run: Path) -> None:
    recipe(run, "stages.sft.trl.learning_rate=5e-4")
    page = write_report(run).read_text(encoding="utf-8")
    changed = details(page, "Recipe against the shipped recipe toy").splitlines()
    assert changed[-2:] == ["-stages.sft.trl.learning_rate: 0.002", "+stages.sft.trl.learning_rate: 0.0005"]
    assert "learning_rate: 0.0005" in details(page, "Resolved recipe")
    recipe(run)
    assert "Key by key the same as the shipped recipe toy." in write_report(run).read_text(encoding="utf-8")


def test_the_recipe_is_shown_against_what_the_user_names(run: Path, tmp_path: Path) -> None:
    recipe(run)
    other = make_run(tmp_path / "other", rl_steps=2, sft_steps=6)
    recipe(other, "seed=4")
    page = write_report(run, against=str(other)).read_text(encoding="utf-8")
    assert details(page, f"Recipe against the run {other}").splitlines()[-2:] == ["-seed: 4", "+seed: 17"]
    assert resolved("demo")[0] == "the shipped recipe demo"
    for wrong in ("no-such-recipe", str(tmp_path)):
        with pytest.raises(UserError):
            write_report(run, against=wrong)


def test_a_difference_names_whole_keys() -> None:
    mine = {"a": {"b": [1, 2], "c": None}, "d": {}}
    theirs = {"a": {"b": [1, 3]}, "d": {}}
    assert difference(mine, theirs).splitlines() == ["-a.b: [1, 3]", "+a.b: [1, 2]", "+a.c: null"]
    assert difference(mine, mine) == ""


def test_links_lead_to_files_of_the_run_alone(run: Path) -> None:
    (run.parent / "secret").write_text("x")
    (run / "eval" / "out").symlink_to(run.parent / "secret")
    (run / "eval" / "a b#c.json").write_text("{}")
    assert link_to(run, "eval/scores.json") == "./eval/scores.json"
    assert link_to(run, "eval/a b#c.json") == "./eval/a%20b%23c.json"
    assert [link_to(run, name) for name in ("../secret", "eval/out", "/etc/hostname", "eval", "gone", "\x00")] == [
        ""
    ] * 6
    page = write_report(run).read_text(encoding="utf-8")
    assert '<a href="./rl-math/metrics.jsonl">metrics.jsonl</a>' in page
    assert '<a href="./eval/scores.json">scores.json</a>' in page


def test_a_hostile_path_is_text_and_no_link(run: Path) -> None:
    hostile = {"x": {"path": "javascript:alert(1)"}, "y": {"path": "//evil.example/x"}}
    edit(run / "eval" / "manifest.json", lambda m: m.update(outputs=hostile))
    page = write_report(run).read_text(encoding="utf-8")
    assert ">javascript:alert(1)<" in page
    assert not re.findall(r'href="(?!#|\./)', page)


def test_device_hours_are_measured_and_money_is_assumed(run: Path) -> None:
    """curate 21.4, sft 141, select 38, eval 44 s on one device each; rl-math on 8."""
    for stage, device in (("rl-math", "8 x NVIDIA H100"), ("rl-mixed", "cpu, 2 cores (x)")):
        edit(
            run / stage / "manifest.json", lambda m, device=device: m.update(seconds=360.0, versions={"device": device})
        )
    plain = write_report(run).read_text(encoding="utf-8")
    assert "Energy was not measured." in plain
    assert "money" not in plain
    priced = write_report(run, prices=Prices(2.5, 700)).read_text(encoding="utf-8")
    table = priced[priced.index("<span>Cost</span>") :]
    cells = {
        re.sub("<[^>]*>", "", row.split("</th>")[0]).strip(): re.findall(r"<td[^>]*>([^<]*)</td>", row)
        for row in table.split("</table>")[0].split("<tr>")[2:]
    }
    assert cells["rl-math"] == ["8 x NVIDIA H100", "6\u00a0min 00\u00a0s", "0.800", "2.00", "0.560"]
    hours = (21.4 + 141 + 38 + 44 + 360) / 3600 + 0.8
    assert cells["all stages"][2] == f"{hours:.3f}"
    assert "Assumed: 2.5 for an hour of one device (--price). Assumed: 700 watts a device" in priced


def test_the_command_writes_the_page_and_refuses_what_makes_no_sense(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe(run)
    assert run_cli(["report", str(run), "--against", "demo", "--price", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert "Recipe against the shipped recipe demo" in (run / "report.html").read_text()
    assert run_cli(["report", str(run), "--port", "8000"]) == 2
    assert "--port is for --live alone" in capsys.readouterr().err
    assert run_cli(["report", str(run), "--against", "nothing"]) == 2
    assert run_cli(["report", str(run.parent / "nowhere"), "--live"]) == 2
    assert json.loads((run / "recipe.json").read_text())["name"] == "toy"


def test_a_seed_has_all_its_digits(run: Path) -> None:
    edit(run / "sft" / "manifest.json", lambda manifest: manifest.update(seed=20261130))
    page = write_report(run).read_text(encoding="utf-8")
    assert "20261130" in page
    assert "2.02611e+07" not in page
