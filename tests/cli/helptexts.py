# SPDX-License-Identifier: BSD-3-Clause
"""The help texts in docs/command.rst: ``python -m tests.cli.helptexts`` writes them anew."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from click.testing import CliRunner

from syncrepl_client.cli.group import COMMANDS, group
from tests.docs.snippets import ROOT

DOCUMENT = ROOT / "docs" / "command.rst"
WIDTH = 80


def helptexts() -> Iterator[tuple[str, str]]:
    """The name of each block, and the text that belongs in it."""
    for words in ([], *([name] for name in COMMANDS)):
        done = CliRunner().invoke(
            group, [*words, "--help"], prog_name="syncrepl-client", env={"COLUMNS": str(WIDTH)}
        )
        assert done.exit_code == 0, done.output
        yield "-".join(["help", *words]), done.output


def block(name: str, text: str) -> str:
    """A block of code in reStructuredText."""
    return f".. code-block:: text\n   :name: {name}\n\n{textwrap.indent(text, '   ')}"


def main() -> None:
    """Write the help texts anew."""
    document = DOCUMENT.read_text(encoding="utf-8")
    for name, text in helptexts():
        old = rf"\.\. code-block:: text\n   :name: {name}\n\n(?:   .*\n|\n(?=   ))+"
        new = block(name, text).replace("\\", r"\\")
        document, count = re.subn(old, new, document)
        assert count == 1, f"docs/command.rst has {count} blocks of the name {name}"
    DOCUMENT.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
