# SPDX-License-Identifier: BSD-3-Clause
"""Draws the phases of a search as SVG, from the table of transitions.

The places of the boxes are fixed; what is drawn between them is what the table says.  A
message that leads from every phase of a frame to the same place is drawn once, from the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import NamedTuple

from syncrepl_client.changes import Phase

Transitions = Mapping[tuple[Phase, str], Phase]

WIDTH, HEIGHT = 940, 500
LINE = 16


class Box(NamedTuple):
    """A rectangle: centre, half of width and height, and where its loop is: -1 above, 1 below."""

    x: float
    y: float
    w: float = 75
    h: float = 24
    side: int = -1

    def edge_towards(self, x: float, y: float) -> tuple[float, float]:
        """Return where the line from the centre to that point leaves the rectangle."""
        dx, dy = x - self.x, y - self.y
        scale = min(
            self.w / abs(dx) if dx else float("inf"), self.h / abs(dy) if dy else float("inf")
        )
        return self.x + dx * scale, self.y + dy * scale


BOXES = {
    Phase.REFRESH: Box(125, 200),
    Phase.PRESENT: Box(470, 100),
    Phase.DELETE: Box(470, 290, side=1),
    Phase.PERSIST: Box(815, 200),
    Phase.OVER: Box(470, 465),
}
REFRESH_STAGE = (Phase.REFRESH, Phase.PRESENT, Phase.DELETE)
SEARCH = (*REFRESH_STAGE, Phase.PERSIST)
FRAMES = {REFRESH_STAGE: Box(310, 200, 290, 175), SEARCH: Box(470, 200, 460, 190)}

STYLE = """
.sp { max-width: 100%; height: auto; font: 13px sans-serif; }
.sp { color: var(--color-foreground-primary, #222); }
.sp rect { fill: var(--color-background-secondary, #fff); stroke: currentColor; }
.sp .frame { fill: none; stroke-dasharray: 5 4; }
.sp path { fill: none; stroke: currentColor; }
.sp text { fill: currentColor; text-anchor: middle; }
.sp .name { font-weight: bold; }
.sp .label { font-style: italic; paint-order: stroke; stroke-width: 4px; }
.sp .label { stroke: var(--color-background-primary, #fff); }
.sp .start { text-anchor: start; }
"""

HEAD = f"""\
<svg class="sp" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"
  width="{WIDTH}" height="{HEIGHT}" role="img">
<title>The phases of a search, and the messages that lead from one to another</title>
<style>{STYLE}</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"
  orient="auto"><path d="M0 0L8 4L0 8z" style="fill: currentColor"/></marker></defs>"""


def draw(transitions: Transitions) -> str:
    """Return the picture of *transitions*."""
    edges, shared = grouped(transitions)
    parts = [HEAD]
    parts += [rect(box, "frame") for box in FRAMES.values()]
    for (source, target), messages in edges.items():
        parts.append(
            loop(BOXES[source], messages)
            if source is target
            else arrow(BOXES[source], BOXES[target], messages)
        )
    for (frame, target), messages in shared.items():
        parts.append(frame_arrow(FRAMES[frame], BOXES[target], messages))
    for phase, box in BOXES.items():
        parts += [rect(box), text(box.x, box.y + 5, [phase.value], "name")]
    return "\n".join([*parts, "</svg>"])


Edges = dict[tuple[Phase, Phase], list[str]]
Shared = dict[tuple[tuple[Phase, ...], Phase], list[str]]


def grouped(transitions: Transitions) -> tuple[Edges, Shared]:
    """Return which messages lead from box to box, and which from a whole frame to a box."""
    left = dict(transitions)
    shared: Shared = {}
    for frame in (SEARCH, REFRESH_STAGE):
        for message in dict.fromkeys(message for _, message in transitions):
            targets = {left.get((phase, message)) for phase in frame}
            target = targets.pop()
            if targets or target is None or target in frame:
                continue
            shared.setdefault((frame, target), []).append(message)
            for phase in frame:
                del left[phase, message]
    edges: Edges = {}
    for (source, message), target in left.items():
        edges.setdefault((source, target), []).append(message)
    return edges, shared


def rect(box: Box, kind: str = "box") -> str:
    """Return a rectangle."""
    return (
        f'<rect class="{kind}" x="{box.x - box.w}" y="{box.y - box.h}" width="{2 * box.w}"'
        f' height="{2 * box.h}" rx="8"/>'
    )


def text(x: float, y: float, lines: Iterable[str], kind: str) -> str:
    """Return lines of text, the first with its base line at *y*."""
    spans = "".join(
        f'<tspan x="{x}" y="{y + number * LINE}">{escape(line)}</tspan>'
        for number, line in enumerate(lines)
    )
    return f'<text class="{kind}">{spans}</text>'


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return an arrow's shaft and tip."""
    return f'<path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" marker-end="url(#tip)"/>'


def arrow(source: Box, target: Box, messages: list[str]) -> str:
    """Return an arrow from box to box, its label in the middle."""
    x1, y1 = source.edge_towards(target.x, target.y)
    x2, y2 = target.edge_towards(source.x, source.y)
    top = (y1 + y2) / 2 + 5 - LINE * (len(messages) - 1) / 2
    return line(x1, y1, x2, y2) + text((x1 + x2) / 2, top, messages, "label")


def loop(box: Box, messages: list[str]) -> str:
    """Return an arrow from a box to itself."""
    y = box.y + box.side * box.h
    bend = y + box.side * 34
    path = f"M{box.x - 20} {y}C{box.x - 45} {bend} {box.x + 45} {bend} {box.x + 20} {y}"
    return f'<path d="{path}" marker-end="url(#tip)"/>' + text(
        box.x, y + (40 if box.side > 0 else -30), [", ".join(messages)], "label"
    )


def frame_arrow(frame: Box, target: Box, messages: list[str]) -> str:
    """Return an arrow from the border of a frame, across or down, to a box."""
    if target.x > frame.x + frame.w:
        x1, y1, x2, y2 = frame.x + frame.w, target.y, target.x - target.w, target.y
        return line(x1, y1, x2, y2) + text((x1 + x2) / 2, y1 - 8, messages, "label")
    x1, y1, x2, y2 = target.x, frame.y + frame.h, target.x, target.y - target.h
    return line(x1, y1, x2, y2) + text(x1 + 12, (y1 + y2) / 2 + 5, [" or ".join(messages)],
                                      "label start")  # fmt: skip
