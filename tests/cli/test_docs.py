# SPDX-License-Identifier: BSD-3-Clause
"""docs/command.rst says what the command does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from syncrepl_client.cli.exits import Exit
from syncrepl_client.cli.group import COMMANDS, group
from syncrepl_client.cli.target import VARIABLE
from tests.cli.commands import environment
from tests.cli.helptexts import DOCUMENT, block, helptexts
from tests.patience import HANGS_SECONDS

TEXT = DOCUMENT.read_text(encoding="utf-8")
COMPLETE = "_SYNCREPL_CLIENT_COMPLETE"


@pytest.mark.parametrize(("name", "text"), list(helptexts()), ids=lambda each: str(each)[:20])
def test_the_help_texts_are_those_of_the_command(name: str, text: str) -> None:
    assert block(name, text) in TEXT, "run: python -m tests.cli.helptexts"
    assert max(map(len, text.splitlines())) <= 80


def test_every_exit_code_is_documented() -> None:
    listed = re.findall(r"^   \* - (\d+)$", TEXT, re.MULTILINE)
    assert [int(each) for each in listed] == list(Exit)


def test_every_option_that_is_named_exists() -> None:
    with group.make_context("syncrepl-client", ["watch"]) as context:
        commands = [group.get_command(context, name) for name in COMMANDS]
    options = {name for each in commands if each for param in each.params for name in param.opts}
    prose = TEXT[: TEXT.index("\nHelp\n----")]
    named = set(re.findall(r"``(--?[a-zA-Z-]+)", prose))
    assert "--exec-retries" in named
    assert named - {"-vv"} <= options
    assert VARIABLE in prose


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    line = f"{COMPLETE}={shell}_source syncrepl-client"
    assert line in TEXT
    program = "from syncrepl_client.cli import main; main([])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(**{COMPLETE: f"{shell}_source"}),
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "syncrepl-client" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_what_is_completed() -> None:
    words = {COMPLETE: "bash_complete", "COMP_WORDS": "syncrepl-client wa", "COMP_CWORD": "1"}
    program = "from syncrepl_client.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(**words),
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
    )
    assert done.stdout == "plain,watch\n"
