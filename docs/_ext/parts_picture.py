# SPDX-License-Identifier: BSD-3-Clause
"""Draws, as SVG, how a directory, this library, its store and a program fit together."""

from __future__ import annotations

from html import escape

WIDTH, HEIGHT = 480, 324

STYLE = """
.pp { max-width: 100%; height: auto; font: 14px sans-serif; color: var(--color-foreground-primary, #222); }
.pp rect { fill: none; stroke: currentColor; }
.pp .ours { fill: var(--color-background-secondary, #f4f4f4); stroke-width: 2; }
.pp .frame { stroke-dasharray: 5 4; }
.pp path { fill: none; stroke: currentColor; }
.pp text { fill: currentColor; text-anchor: middle; }
.pp .name { font-weight: bold; }
.pp .small { font-size: 12.5px; }
.pp .left { text-anchor: start; }
"""  # noqa: E501 - a rule of CSS a line

BOXES = (
    ("box", 20, 2, 190, 52, ("LDAP server", "OpenLDAP, 389-ds, FreeIPA")),
    ("frame", 1, 112, 478, 208, ()),
    ("ours", 20, 140, 190, 72, ("syncrepl_client", "compares, orders,", "commits")),
    ("box", 310, 140, 150, 72, ("your callback", "record_add,", "record_delete ...")),
    ("box", 20, 256, 190, 52, ("data store", "entries and cookie")),
)
ARROWS = (
    ("M70 54V132", 80, 88, "changes"),
    ("M160 140V62", 170, 88, "search, with the cookie"),
    ("M210 176H302", 256, 166, "1. call"),
    ("M115 212V248", 125, 239, "2. commit: change and cookie together"),
)
TITLE = (
    "A server sends changes since a cookie; the library calls your callback for each, then commits "
    "the change and the new cookie to the data store, all in one process"
)

HEAD = f"""\
<svg class="pp" xmlns="http://www.w3.org/2000/svg" viewBox="-2 0 {WIDTH + 4} {HEIGHT}"
  width="{WIDTH}" role="img">
<title>{escape(TITLE)}</title>
<style>{STYLE}</style>
<defs><marker id="pp-tip" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="8" markerHeight="8"
  orient="auto"><path d="M0 0L8 4L0 8z" style="fill: currentColor"/></marker></defs>"""


def draw() -> str:
    """Return the picture."""
    parts = [HEAD, '<text class="small left" x="290" y="131">one process: your program</text>']
    for kind, x, y, width, height, lines in BOXES:
        parts.append(
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
        )
        for number, line in enumerate(lines):
            middle, base = x + width / 2, y + 22 + 20 * number
            name = "small" if number else "name"
            parts.append(f'<text class="{name}" x="{middle:g}" y="{base}">{escape(line)}</text>')
    for path, x, y, label in ARROWS:
        side = "small left" if path.count("V") else "small"
        parts.append(f'<path d="{path}" marker-end="url(#pp-tip)"/>')
        parts.append(f'<text class="{side}" x="{x}" y="{y}">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>"])
