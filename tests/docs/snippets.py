# SPDX-License-Identifier: BSD-3-Clause
"""The code in README.md and docs/, found and made runnable.

A block whose first line is a comment with a file name, ``# report.py``, is a *program*: a test
runs it as it stands, in a process of its own.  All other Python blocks are *fragments*: those
of one document are run one after the other, in one namespace.

Two things are replaced before: the URLs of the server, and, in fragments, the mode
REFRESH_AND_PERSIST by REFRESH_ONLY, so that they end.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

from tests.servers import Server, Slapd

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = (
    ROOT / "README.md",
    *sorted(DOCS.glob("*.rst")),
    *sorted(DOCS.glob("cookbook/*.rst")),
)
COOKBOOK = tuple(sorted(DOCS.glob("cookbook/*.py")))
OTHER_DOCUMENTS = tuple(path for path in sorted(ROOT.glob("*.md")) if path not in DOCUMENTS)


class Block(NamedTuple):
    """A piece of code in a document."""

    document: str
    line: int
    language: str
    name: str
    text: str

    @property
    def program(self) -> str | None:
        """The file name, if this is a program."""
        found = re.match(r"# ([a-z_]+\.py)\n", self.text)
        return found[1] if found else None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """All pieces of code in a document."""
    text = path.read_text(encoding="utf-8")
    found = fenced(text) if path.suffix == ".md" else directives(text)
    return [Block(path.name, *each) for each in found]


def fenced(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Markdown's: line, language, name, text."""
    pattern = r"^( *)```([a-z]+)\n(.*?)^\1```$"
    for match in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start(3)) + 1
        yield line, match[2], "", textwrap.dedent(match[3])


def directives(text: str) -> Iterator[tuple[int, str, str, str]]:
    """reStructuredText's: line, language, name, text."""
    pattern = r"^( *)\.\. code-block:: ([a-z]+)\n((?:\1 +:.*\n)*)\n((?:\1   .*\n|\n)+)"
    for match in re.finditer(pattern, text, re.MULTILINE):
        line = text.count("\n", 0, match.start(4)) + 1
        name = re.search(r":name: (.*)", match[3])
        yield line, match[2], name[1] if name else "", textwrap.dedent(match[4]).rstrip() + "\n"


ALL = [block for path in DOCUMENTS for block in blocks(path)]
PYTHON = [block for block in ALL if block.language == "python"]


def python_lines(path: Path) -> int:
    """How many lines of a document begin Python code: a count by simpler means."""
    text = path.read_text(encoding="utf-8")
    return len(re.findall(r"```py|code-block:: *py|code:: *py|sourcecode:: *py|>>> ", text))


def program(name: str, document: str) -> Block:
    """The program of that name in that document."""
    (found,) = [each for each in PYTHON if (each.program, each.document) == (name, document)]
    return found


def recipe(name: str) -> Block:
    """The program of that name in the cookbook."""
    (path,) = [path for path in COOKBOOK if path.name == name]
    text = f"# {name}\n{path.read_text(encoding='utf-8')}"
    return Block(f"cookbook/{name}", 0, "python", name, text)


def here(text: str, server: Server) -> str:
    """*text* with the URLs of a server that is there."""
    return text.replace("ldap://localhost/", f"{server.url}/")


class Fragments:
    """The fragments of one document, and which of their functions have been called."""

    def __init__(self, document: str) -> None:
        self.document = document
        self.blocks = [each for each in PYTHON if each.document == document and not each.program]
        self.functions: set[str] = set()
        self.called: set[str] = set()
        self.namespace: dict[str, Any] = {}

    def run(self, server: Slapd, between: Callable[[], object]) -> None:
        """Run them in one new namespace, and call *between* after each."""
        self.namespace = {"__name__": "__main__", "_called_": self.called.add}
        for block in self.blocks:
            text = here(block.text, server).replace("REFRESH_AND_PERSIST", "REFRESH_ONLY")
            tree = ast.parse(text)
            self._watch(tree, block)
            ast.increment_lineno(tree, block.line - 1)
            exec(compile(tree, block.document, "exec"), self.namespace)  # noqa: S102
            between()

    def _watch(self, tree: ast.Module, block: Block) -> None:
        """Let each function say that it has been called."""
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                name = f"{node.name} at {block.document}:{block.line + node.lineno - 1}"
                self.functions.add(name)
                node.body[:0] = ast.parse(f"_called_({name!r})").body
        ast.fix_missing_locations(tree)
