"""Figures outside a page: one SVG file that carries the page's light colours, for a README or an image viewer."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from ringlite_cli.report.figures.svg import HEIGHT, WIDTH, Figure, Key, el

_HEAD, _GAP, _EDGE = 42, 14, 12
_FONT = "font-family: system-ui, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"


def standalone(title: str, figures: Sequence[Figure | None]) -> str:
    """Return the figures as the text of one SVG file, one below another; those that are None are left out."""
    shown = [figure for figure in figures if figure is not None]
    height = _EDGE + len(shown) * (_HEAD + HEIGHT + _GAP)
    width = WIDTH + 2 * _EDGE
    css = (Path(__file__).parents[1] / "figures.css").read_text(encoding="utf-8")
    parts = [el("title", title), Markup(f"<style>{css}</style>"), el("rect", width=width, height=height, fill="#fff")]
    for number, figure in enumerate(shown):
        parts += _panel(figure, _EDGE + number * (_HEAD + HEIGHT + _GAP))
    root = el("svg", *parts, viewBox=f"0 0 {width} {height}", width=width, height=height, style=_FONT)
    return str(root).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1) + "\n"


def _panel(figure: Figure, top: int) -> list[Markup]:
    """The title, the legend and the drawing of one figure, below `top`."""
    return [
        el("text", figure.title, id=f"{figure.id}-title", class_="strong", x=float(_EDGE), y=top + 14.0),
        *_legend(figure.legend, top + 30.0),
        el("svg", figure.svg, x=float(_EDGE), y=float(top + _HEAD), width=WIDTH, height=HEIGHT),
    ]


def _legend(keys: Sequence[Key], y: float) -> list[Markup]:
    parts, x = [], float(_EDGE)
    for key in keys:
        kind = "dash" if key.kind == "dash" else "line"
        parts.append(el("path", class_=f"curve {kind} {key.style}", d=f"M{x:g},{y - 4:g}h16"))
        parts.append(el("text", key.name, x=x + 21, y=y))
        x += 40 + 6.2 * len(key.name)
    return parts
