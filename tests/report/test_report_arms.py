"""The comparison page of an experiment: the band of a curve is where the seeds were."""

import re

from ringlite_cli.report.arms import render_comparison
from ringlite_cli.runs.catalogue.panels import ARM_PANELS


def comparison(seeds: list[int]) -> dict[str, object]:
    empty = {panel.curves[0].key: [] for panel in ARM_PANELS}
    rising = [(step, step / 10, step / 10 - 0.1, step / 10 + 0.3) for step in range(1, 6)]
    return {
        "experiment": "demo",
        "question": "",
        "recipe": "toy",
        "seeds": seeds,
        "arms": {"one": {}, "other": {}},
        "left_out": [],
        "scores": [],
        "differences": [],
        "training": [],
        "picks": [],
        "efficiency": [],
        "curves": {"one": empty | {"reward": rising}, "other": empty},
    }


def test_a_curve_has_the_band_of_its_seeds() -> None:
    """Means 0.1 to 0.5, seeds from -0.1 to +0.3 of them: the band runs along 0.4 to 0.8 and back along 0 to 0.4."""
    page = render_comparison(comparison([1, 2]))
    assert "Band: from the lowest to the highest seed" in page
    (d,) = re.findall(r'<path class="spread p-base" d="M([^"]*)Z"', page)
    lo, hi, start, end, _ = map(float, re.search(r'data-y="([^"]*)"', page)[1].split())
    values = [lo + (float(pair.split(",")[1]) - start) / (end - start) * (hi - lo) for pair in d.split("L")]
    expected = [0.4, 0.5, 0.6, 0.7, 0.8, 0.4, 0.3, 0.2, 0.1, 0.0]
    assert all(abs(a - b) < 0.005 for a, b in zip(values, expected, strict=True))


def test_one_seed_has_no_band_to_speak_of() -> None:
    assert "Band:" not in render_comparison(comparison([1]))
