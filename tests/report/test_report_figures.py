"""Figures: what is drawn of long curves, scales and ticks, and panels without points."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringlite_cli.report.figures import Bar, Limit, Marks, Part, Series, Sheet, bars, lines, stack, whiskers
from ringlite_cli.report.figures.svg import Scale, tick_text, value_scale
from ringlite_cli.report.figures.thin import POINTS, running_median, smooth, stretch_means, thin


def line(values, **more):
    return Series("y", "p-sft", [(float(k), v) for k, v in enumerate(values)], **more)


def test_thinning_keeps_a_spike_of_one_step():
    points = [(float(k), 0.0) for k in range(50_000)]
    points[31_234] = (31_234.0, 7.0)
    kept = thin(points)
    assert len(kept) <= POINTS
    assert (31_234.0, 7.0) in kept
    assert kept == sorted(kept)


def test_short_curves_are_drawn_whole():
    points = [(float(k), k % 3) for k in range(POINTS)]
    assert thin(points) == points == stretch_means(points)


def test_stretch_means_keep_the_mean():
    points = [(float(k), float(k)) for k in range(1000)]
    means = stretch_means(points, 100)
    assert len(means) == 100
    assert sum(y for _, y in means) / 100 == pytest.approx(499.5)


def test_moving_mean_and_median():
    """Window 3 over 0 0 9 0 0: the mean spreads the 9 over three steps, the median drops it."""
    points = list(enumerate([0.0, 0.0, 9.0, 0.0, 0.0]))
    assert [y for _, y in smooth(points, 3)] == [0, 3, 3, 3, 0]
    assert [y for _, y in running_median(points, 3)] == [0, 0, 0, 0, 0]


@given(lo=st.floats(-1e6, 1e6), width=st.floats(1e-6, 1e6))
def test_ticks_lie_inside_and_are_few(lo, width):
    scale = Scale(lo, lo + width, 0, 100)
    ticks = scale.ticks()
    assert len(ticks) <= 9
    assert all(lo - 1e-6 * width <= t <= lo + width * (1 + 1e-6) for t in ticks)


@given(st.floats(1e-9, 1e3), st.floats(31, 1e9))
def test_log_ticks_lie_inside_and_are_few(lo, times):
    scale = value_scale([lo, lo * times], 0, 100, log=True)
    assert 1 <= len(scale.ticks()) <= 7
    assert all(0 <= scale(t) <= 100 for t in scale.ticks())


@pytest.mark.parametrize("values", [[], [0.0], [5.0, 5.0], [-3.0, -3.0], [0.0, 1e-9], [1e16, 1e16 + 2]])
def test_scales_of_few_or_equal_values_hold_them(values):
    scale = value_scale(values, 200, 20)
    assert all(20 <= scale(v) <= 200 for v in values)
    assert scale.ticks()


def test_tick_text():
    assert [tick_text(v) for v in (0, 0.1 + 0.2, 8192, 20_000, 3e6, -5)] == ["0", "0.3", "8192", "20k", "3M", "−5"]


def test_no_points_no_panel():
    sheet = Sheet()
    assert lines(sheet, "t", "x", "y", [line([])]) is None
    assert stack(sheet, "t", "x", "y", [line([])]) is None
    assert bars(sheet, "t", []) is None
    assert whiskers(sheet, "t", [], 1.0) is None
    assert lines(sheet, "t", "x", "y", [line([1.0])]).id == "fig-1"


def test_one_step_is_a_dot():
    assert "<circle" in lines(Sheet(), "t", "step", "y", [line([0.5])]).svg
    assert "nan" not in stack(Sheet(), "t", "step", "s", [line([0.5]), line([0.25])]).svg


def test_band_spans_its_interval_and_pick_is_ringed():
    """The band from 0.3 to 0.5 lies between the y of those values, which the axis labels stand beside."""
    figure = lines(Sheet(), "t", "x", "y", [line([0.0, 1.0], kind="dots")], zero=True, band=(0.3, 0.5), pick=(0.0, 0.0))
    rect = re.search(r'<rect class="band" x="[\d.]+" width="[\d.]+" y="([\d.]+)" height="([\d.]+)"', figure.svg)
    data = re.search(r'data-y="([^"]+)"', figure.svg)
    lo, hi, start, end, _ = map(float, data[1].split())
    at = [start + (v - lo) / (hi - lo) * (end - start) for v in (0.5, 0.3)]
    assert float(rect[1]) == pytest.approx(at[0], abs=0.1)
    assert float(rect[1]) + float(rect[2]) == pytest.approx(at[1], abs=0.1)
    assert 'class="pick"' in figure.svg


def test_log_scale_only_where_values_spread_and_are_positive():
    assert "log scale" in lines(Sheet(), "t", "x", "y", [line([0.1, 40.0])], log=True).svg
    assert "log scale" not in lines(Sheet(), "t", "x", "y", [line([0.1, 0.4])], log=True).svg
    assert "log scale" not in lines(Sheet(), "t", "x", "y", [line([0.0, 40.0])], log=True).svg


def test_funnel_bars_end_where_the_one_before_begins():
    rows = [Bar("in", [("c-all", 100)], "100"), Bar("a", [("c-dropped", 40)], "40", start=60), Bar("", [], "")]
    svg = bars(Sheet(), "t", rows).svg
    (x0, w0), (x1, w1) = [
        tuple(map(float, pair))
        for pair in re.findall(r'<rect class="bar [^"]*" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg)
    ]
    assert x0 + w0 == pytest.approx(x1 + w1, abs=0.2)
    assert w1 / w0 == pytest.approx(0.4, abs=0.01)


def test_descriptions_give_the_numbers():
    svg = lines(Sheet(), "t", "step", "nats", [line([3.0, 1.0, 2.0])]).svg
    assert "3.00 at 0, 2.00 at 2.00, lowest 1.00, highest 3.00" in svg


STAGES = Marks([Part("one", "p-rl0", 0, 40), Part("two", "p-rl1", 40, 20)])


def test_a_curve_is_drawn_and_smoothed_stage_by_stage():
    """1 over 40 steps, then 0 over 20: no mean leaks over the border, and each stage has its colour."""
    points = [(float(k), float(k <= 40)) for k in range(1, 61)]
    figure = lines(Sheet(), "t", "step", "y", [Series("y", "", points)], marks=STAGES)
    named = re.findall(
        r'<path class="curve [a-z]+ (p-rl\d)" d="[^"]*" data-name="y" data-at="([^"]*)" data-own="([^"]*)"', figure.svg
    )
    assert [style for style, _, _ in named] == ["p-rl0", "p-rl1"]
    assert [(len(at.split()), set(own.split())) for _, at, own in named] == [(40, {"1"}), (20, {"0"})]
    lo, hi, start, end, _ = map(float, re.search(r'data-y="([^"]+)"', figure.svg)[1].split())
    heights = [float(y) for y in re.findall(r"[ML][\d.]+,([\d.]+)", " ".join(re.findall(r' d="([^"]*)"', figure.svg)))]
    drawn = {round(lo + (y - start) / (end - start) * (hi - lo), 2) for y in heights}
    assert drawn == {0.0, 1.0}
    assert figure.svg.count('class="border"') == 1
    assert "[[&#34;one&#34;, 0, 40], [&#34;two&#34;, 40, 20]]" in figure.svg


def test_what_a_pointer_reads_is_each_steps_own_value():
    values = [float(k % 7) for k in range(60)]
    figure = lines(Sheet(), "t", "step", "y", [line(values)])
    at, own = re.search(r'data-at="([^"]*)" data-own="([^"]*)"', figure.svg).groups()
    assert [float(x) for x in at.split()] == list(range(60))
    assert [float(y) for y in own.split()] == values


def test_a_limit_is_a_line_where_it_is_near_and_a_word_where_it_is_far():
    near = Marks(STAGES.stages, [Limit(0.5, 1, 40, "at most")])
    figure = lines(Sheet(), "t", "x", "y", [Series("y", "", [(1.0, 0.1), (60.0, 0.4)])], zero=True, marks=near)
    (y,) = re.findall(r'class="limit" x1="[\d.]+" x2="[\d.]+" y1="([\d.]+)"', figure.svg)
    lo, hi, start, end, _ = map(float, re.search(r'data-y="([^"]+)"', figure.svg)[1].split())
    assert lo + (float(y) - start) / (end - start) * (hi - lo) == pytest.approx(0.5, abs=0.01)
    far = Marks(STAGES.stages, [Limit(9.0, 1, 40, "at most")])
    figure = lines(Sheet(), "t", "x", "y", [Series("y", "", [(1.0, 0.1), (60.0, 0.4)])], zero=True, marks=far)
    assert 'class="limit"' not in figure.svg
    assert "at most 9 ↑" in figure.svg
    assert float(re.search(r'data-y="([^"]+)"', figure.svg)[1].split()[1]) < 1


def test_a_far_limit_below_nothing_breaks_no_figure():
    for values in ([0.0, 0.0], [-3.0, -1.0]):
        points = [(1.0, values[0]), (60.0, values[1])]
        assert lines(
            Sheet(), "t", "x", "y", [Series("y", "", points)], marks=Marks(STAGES.stages, [Limit(0.2, 1, 40, "w")])
        )
