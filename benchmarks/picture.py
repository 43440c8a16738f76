"""The figures that have a target as a picture: a bar for each, as long as its share of what is allowed."""

from collections.abc import Sequence
from html import escape

from benchmarks.figure import Figure, short

WIDTH, ROW, LABELS, VALUES = 1120, 24, 560, 170
BARS = WIDTH - LABELS - VALUES
GOOD, BAD, LINE = "#2a9d62", "#d1495b", "#777777"
STYLE = """text{font:13px system-ui,sans-serif;fill:#1b1f24}.v{text-anchor:start}.l{text-anchor:end}.g{font-weight:600}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"""


def share(figure: Figure) -> float:
    """1 is the target, less is better, whichever way the target looks."""
    assert figure.target
    judged = figure.ratio if figure.target.of_ratio else figure.value
    if judged is None:
        return 2.0
    if judged <= 0:
        return 2.0 if figure.target.least else 0.0
    return figure.target.bound / judged if figure.target.least else judged / figure.target.bound


def svg(figures: Sequence[Figure], title: str) -> str:
    """Bars end at twice the target; the line in the middle is the target."""
    shown = [figure for figure in figures if figure.target]
    height = ROW * (len(shown) + 3)
    middle = LABELS + BARS / 2
    rows = "\n".join(_row(figure, ROW * (at + 2)) for at, figure in enumerate(shown))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">
<style>{STYLE}</style>
<text x="8" y="{ROW - 6}" class="g">{escape(title)}</text>
<text x="{middle + 4}" y="{2 * ROW - 8}" class="v">target (a shorter bar is better)</text>
{rows}
<path d="M{middle} {1.3 * ROW}V{height - ROW / 2}" stroke="{LINE}" stroke-dasharray="4 3"/>
</svg>
"""


def _row(figure: Figure, top: float) -> str:
    long = max(2.0, min(2.0, share(figure)) * BARS / 2)
    text, color = top + ROW - 8, GOOD if figure.met else BAD
    label, value = f"{figure.group}: {figure.name}", f"{short(figure.value)} {figure.unit} ({_target(figure)})"
    return (
        f'<text x="{LABELS - 8}" y="{text}" class="l">{escape(label)}</text>'
        f'<rect x="{LABELS}" y="{top + 3}" width="{long:.1f}" height="{ROW - 8}" rx="2" fill="{color}"/>'
        f'<text x="{LABELS + BARS + 8}" y="{text}" class="v">{escape(value)}</text>'
    )


def _target(figure: Figure) -> str:
    assert figure.target
    return f"ratio {short(figure.ratio or 0)}, {figure.target}" if figure.target.of_ratio else str(figure.target)
