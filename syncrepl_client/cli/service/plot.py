# SPDX-License-Identifier: BSD-3-Clause
"""The lag as bars, in SVG; its colours are those of the style sheet."""

from collections.abc import Sequence

from ..output.nagios import span
from .samples import Bar

_STEP, _HEIGHT, _FOOT = 5, 48, 6
"""Units of the drawing: the width of a bar with its gap, and the heights of bars and of the line
below them that shows when the stream was away."""


def lag(bars: Sequence[Bar]) -> str:
    """Return the drawing."""
    known = [bar.lag for bar in bars if bar.lag is not None]
    top = max([1.0, *known])
    said = f"greatest lag of a change {span(max(known))}" if known else "no change"
    width = _STEP * len(bars)
    size = f'viewBox="0 0 {width} {_HEIGHT + _FOOT}" preserveAspectRatio="none"'
    drawn = [
        f'<svg class="plot" {size} role="img" aria-label="The last hour: {said}">',
        f'<line class="axis" x1="0" x2="{width}" y1="{_HEIGHT}" y2="{_HEIGHT}"/>',
    ]
    for number, bar in enumerate(bars):
        x = number * _STEP
        if bar.lag is not None:
            height = max(2.0, _HEIGHT * bar.lag / top)
            drawn.append(
                f'<rect class="bar" x="{x}" y="{_HEIGHT - height:.1f}" width="{_STEP - 1}" '
                f'height="{height:.1f}"/>'
            )
        if bar.away:
            drawn.append(
                f'<rect class="away" x="{x}" y="{_HEIGHT + 2}" width="{_STEP}" height="4"/>'
            )
    return "".join([*drawn, "</svg>"])
