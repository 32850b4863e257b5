# SPDX-License-Identifier: BSD-3-Clause
"""Directives that write parts of the documentation from the code itself.

``state-picture`` and ``state-table`` draw ``transitions.TRANSITIONS``, ``prune-table`` asks
``dialect.prunes``, ``floors-picture`` draws ``tests/floors.py``, ``parts-picture`` how a program, a
store and a server fit together, ``changelog`` takes over CHANGELOG.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import floors_picture
import parts_picture
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles
from state_picture import draw

import syncrepl_client
from syncrepl_client.changes import Phase
from syncrepl_client.protocol.dialect import DS389, OPENLDAP, OTHER, Dialect, prunes
from syncrepl_client.protocol.transitions import TRANSITIONS
from tests.floors import FLOORS

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"


class FromCode(SphinxDirective):
    """A directive whose content is made, not written."""

    def parse(self, lines: list[str]) -> list[nodes.Node]:
        """Return what *lines* of reStructuredText come to."""
        section = nodes.section()
        section.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, self.name), section)
        return list(section.children)


class StatePicture(FromCode):
    """The phases of a search, drawn; in other formats than HTML there is the table."""

    def run(self) -> list[nodes.Node]:
        """Return an SVG."""
        return [nodes.raw("", draw(TRANSITIONS), format="html")]


class StateTable(FromCode):
    """Which message leads from which phase to which."""

    def run(self) -> list[nodes.Node]:
        """Return a table: a row for each message, a column for each phase."""
        messages = list(dict.fromkeys(message for _, message in TRANSITIONS))
        phases = [phase for phase in Phase if phase is not Phase.OVER]
        rows = [["message", *(phase.value for phase in phases)]]
        for message in messages:
            cells = (TRANSITIONS.get((phase, message)) for phase in phases)
            rows.append([message, *(cell.value if cell else r"\-" for cell in cells)])
        return self.parse(table(rows))


PRUNE_CASES: tuple[tuple[str, str, str, str, tuple[Dialect, ...], dict[str, bool]], ...] = (
    ("no", "any", "any", "any", (OPENLDAP, DS389, OTHER), {"resumed": False}),
    ("yes", "TRUE", "any", "any", (OPENLDAP, DS389, OTHER), {"deletes": True}),
    ("yes", "FALSE", "yes", "any", (OPENLDAP, DS389, OTHER), {"present_seen": True}),
    ("yes", "FALSE", "none", "newer", (OPENLDAP,), {"cookie_moved": True}),
    ("yes", "FALSE", "none", "none, or the same", (OPENLDAP,), {"cookie_moved": False}),
    ("yes", "FALSE", "none", "any", (DS389, OTHER), {"cookie_moved": True}),
)
FLAGS = {"resumed": True, "deletes": False, "present_seen": False, "cookie_moved": False}


class PruneTable(FromCode):
    """When what a refresh did not name is gone."""

    def run(self) -> list[nodes.Node]:
        """Return a table whose last column is what the code answers."""
        rows = [
            ["sent a cookie", "refreshDeletes", "named as present", "cookie", "server", "prune"]
        ]
        for *cells, dialects, flags in PRUNE_CASES:
            answers = {prunes(dialect, **{**FLAGS, **flags}) for dialect in dialects}
            if len(answers) != 1:
                raise ValueError(f"servers differ in the case {cells}: split it")
            names = ", ".join(dialect.name for dialect in dialects)
            rows.append([*cells, "any" if OTHER in dialects and OPENLDAP in dialects else names])
            rows[-1].append("yes" if answers.pop() else "no")
        return self.parse(table(rows))


def table(rows: list[list[str]]) -> list[str]:
    """Return *rows*, the first of which is the head, as a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for number, cell in enumerate(row):
            lines.append(f"   {'* -' if number == 0 else '  -'} {cell}")
    return [*lines, ""]


class PartsPicture(FromCode):
    """How the parts fit together, drawn; the page says it for other formats."""

    def run(self) -> list[nodes.Node]:
        """Return an SVG."""
        return [nodes.raw("", parts_picture.draw(), format="html")]


class FloorsPicture(FromCode):
    """The layers of the package, drawn; the page describes the packages for other formats."""

    def run(self) -> list[nodes.Node]:
        """Return an SVG."""
        root = Path(syncrepl_client.__file__).parent
        return [nodes.raw("", floors_picture.draw(FLOORS, root), format="html")]


class Changelog(FromCode):
    """CHANGELOG.md, without its head."""

    def run(self) -> list[nodes.Node]:
        """Return its sections."""
        self.env.note_dependency(str(CHANGELOG))
        return self.parse(restructured(CHANGELOG.read_text(encoding="utf-8")))


def restructured(markdown: str) -> list[str]:
    """Return as reStructuredText what a changelog needs of Markdown, from the first ``##`` on."""
    lines: list[str] = []
    for line in markdown[markdown.index("\n## ") :].splitlines():
        text = re.sub(r"`([^`]+)`", r"``\1``", line)
        text = re.sub(r"\[([^]]+)\]\((http[^)]+)\)", r"`\1 <\2>`__", text)
        head = re.match(r"(##+) (.*)", text)
        if head:
            title = head[2].replace("[", "").replace("]", "")
            lines += ["", title, ("-" if head[1] == "##" else "~") * len(title), ""]
        else:
            lines.append(text)
    return lines


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("state-picture", StatePicture)
    app.add_directive("state-table", StateTable)
    app.add_directive("prune-table", PruneTable)
    app.add_directive("floors-picture", FloorsPicture)
    app.add_directive("parts-picture", PartsPicture)
    app.add_directive("changelog", Changelog)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
