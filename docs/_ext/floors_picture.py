# SPDX-License-Identifier: BSD-3-Clause
"""Draws the layers of the package as SVG, from the list of floors: each floor a row, top first."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from pathlib import Path

Floors = Sequence[Sequence[str]]

WIDTH, GAP, MARGIN = 940, 10, 8
LINE, HEAD = 15, 20
CHARACTER = 6.4
"""The width of a character in the small font, about."""

STYLE = """
.fp { max-width: 100%; height: auto; font: 12px sans-serif; }
.fp { color: var(--color-foreground-primary, #222); }
.fp rect { fill: var(--color-background-secondary, #fff); stroke: currentColor; }
.fp .module rect { stroke-dasharray: 5 4; }
.fp text { fill: currentColor; text-anchor: middle; }
.fp .name { font-weight: bold; font-size: 13px; }
"""


def contents(package: Path) -> list[str]:
    """Return the names of the modules and packages in *package*; none for a module."""
    if not package.is_dir():
        return []
    modules = sorted(path.stem for path in package.glob("*.py") if path.stem != "__init__")
    packages = sorted(path.parent.name for path in package.glob("*/__init__.py"))
    return [*modules, *(f"{name}/" for name in packages)]


def draw(floors: Floors, root: Path) -> str:
    """Return the picture of *floors*, whose packages and modules are in the directory *root*."""
    parts: list[str] = []
    y = MARGIN
    for floor in reversed(floors):
        width = (WIDTH - GAP * (len(floor) - 1)) / len(floor)
        rows = [
            textwrap.wrap(" ".join(contents(root / name)), int(width / CHARACTER)) for name in floor
        ]
        height = HEAD + LINE * max(map(len, rows)) + MARGIN
        for number, (name, lines) in enumerate(zip(floor, rows)):
            parts.append(_box(number * (width + GAP), y, width, height, name, lines))
        y += height + GAP
    head = (
        f'<svg class="fp" xmlns="http://www.w3.org/2000/svg" viewBox="-2 0 {WIDTH + 4} {y}"'
        f' width="{WIDTH}" height="{y}" role="img">\n'
        "<title>The packages and modules; each imports from the rows below it only</title>\n"
        f"<style>{STYLE}</style>"
    )
    return "\n".join([head, *parts, "</svg>"])


def _box(x: float, y: float, width: float, height: float, name: str, lines: Sequence[str]) -> str:
    middle = f"{x + width / 2:.0f}"
    kind, title = ("package", f"{name}/") if lines else ("module", f"{name}.py")
    texts = [f'<text class="name" x="{middle}" y="{y + 16}">{escape(title)}</text>']
    for number, line in enumerate(lines):
        texts.append(f'<text x="{middle}" y="{y + HEAD + LINE * (number + 1) - 3}">'
                     f"{escape(line)}</text>")  # fmt: skip
    rect = f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{height}" rx="6"/>'
    return f'<g class="{kind}">{rect}{"".join(texts)}</g>'
