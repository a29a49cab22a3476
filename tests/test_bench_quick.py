"""The guard of speed compares ratios, and fails where one is lost; nothing is timed here."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import bench_quick
from bench_quick import Benchmark, benchmarks, ratio_of, run, verdict, with_peer

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("ratio", "stored", "said"),
    [(2.0, None, "new"), (2.0, 2.0, "ok"), (1.7, 2.0, "ok"), (1.69, 2.0, "lost"), (5.0, 2.0, "ok")],
)
def test_a_ratio_is_lost_below_085_of_the_stored_one(ratio: float, stored: float | None, said: str) -> None:
    assert verdict(ratio, stored) == said


def test_the_last_ratio_of_an_output_counts() -> None:
    assert ratio_of("ratio 1.20\nx ratio 9\nratio 3.5\n") == 3.5
    assert ratio_of("no ratio here") is None


def fake(folder: Path, name: str, code: str, *needs: str) -> Benchmark:
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    return Benchmark(name, "nobody", (str(folder / f"{name}.py"),), needs)


def test_benchmarks_that_fail_or_lose_are_told_and_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [
        fake(tmp_path, "kept", "print('ratio 2.00')"),
        fake(tmp_path, "slower", "print('ratio 1.00')"),
        fake(tmp_path, "broken", "raise SystemExit('no memory')"),
        fake(tmp_path, "mute", "print('done')"),
        fake(tmp_path, "absent", "raise SystemExit(1)", "a_package_that_nobody_has"),
        fake(tmp_path, "fresh", "print('ratio 0.50')"),
    ]
    ratios, bad = run(chosen, {"kept": 2.1, "slower": 2.0, "broken": 1.0, "mute": 1.0, "absent": 3.0})
    assert ratios == {"kept": 2.0, "slower": 1.0, "fresh": 0.5}
    assert bad == ["slower", "broken", "mute"]
    said = capsys.readouterr().out
    assert "exit code 1: no memory" in said
    assert "left out: no a_package_that_nobody_has" in said


def test_a_lost_ratio_ends_the_command_with_1_and_store_keeps_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tmp_path / "ratios.json"
    stored.write_text('{"a machine": {"slower": 2.0, "other": 4.0}}', encoding="utf-8")
    slower = fake(tmp_path, "slower", "print('ratio 1.00')")
    monkeypatch.setattr(bench_quick, "STORED", stored)
    monkeypatch.setattr(bench_quick, "machine_class", lambda: "a machine")
    monkeypatch.setattr(bench_quick, "benchmarks", lambda gpu: [slower])
    monkeypatch.setattr(sys, "argv", ["bench_quick.py"])
    with pytest.raises(SystemExit, match="slower"):
        bench_quick.main()
    monkeypatch.setattr(sys, "argv", ["bench_quick.py", "--store"])
    bench_quick.main()
    assert bench_quick.json.loads(stored.read_text(encoding="utf-8")) == {"a machine": {"slower": 1.0, "other": 4.0}}


@pytest.mark.parametrize("gpu", [False, True])
def test_every_benchmark_is_there(gpu: bool) -> None:
    found = benchmarks(gpu=gpu)
    assert len({each.name for each in found}) == len(found) == 5
    assert all((ROOT / "benchmarks" / each.command[0]).is_file() for each in found)


def test_datatrove_may_be_in_another_python() -> None:
    plain = benchmarks(gpu=False)
    changed = {each.name: with_peer(each, "/there/python") for each in plain}
    assert changed["curation"].command[-2:] == ("--peer", "/there/python")
    assert not changed["curation"].needs
    assert [changed[each.name] for each in plain if each.name != "curation"] == [
        each for each in plain if each.name != "curation"
    ]
