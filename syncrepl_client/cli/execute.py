# SPDX-License-Identifier: BSD-3-Clause
"""Runs a command for each change, with the change as JSON on its standard input."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import Callable

import click

from ..callbacks import BaseCallback
from ..changes import Change
from ..entries.printable import printable
from ..formats.jsonlines import to_json
from .errors import HandlerFailed, Interrupted
from .target import VARIABLE

LOOK_SECONDS = 0.1
"""The interval at which a running command, and a stop, are checked for."""
GRACE_SECONDS = 0.5
"""How long a command may take to end after SIGTERM."""


_SHELL = frozenset(("|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1"))


def parse(text: str) -> list[str]:
    """Split a command into words; no shell is involved.

    Raises:
        click.BadParameter: it is not a command, or there is no such program.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no command: {error}") from None
    if not words:
        raise click.BadParameter("the command is empty.")
    if _SHELL.intersection(words):
        raise click.BadParameter(
            f"no shell is involved, and {text!r} is for one: write sh -c {shlex.quote(text)}."
        )
    if shutil.which(words[0]) is None:
        raise click.BadParameter(f"there is no program {words[0]!r}.")
    return words


class ExecCallback(BaseCallback):
    """Runs a command for each change; if it fails, the change is not committed."""

    def __init__(self, words: list[str], stopping: Callable[[], bool]) -> None:
        """Initialize from the command; *stopping* returns True if it is to be ended early."""
        self._words = words
        self._stopping = stopping

    def dispatch(self, change: Change) -> None:
        """Run the command for *change*.

        Raises:
            HandlerFailed: it could not be started, or ended with another code than 0.
            Interrupted: it was ended because of a stop.
        """
        name = printable(f"{change.kind.value} {change.new_dn or change.old_dn or ''}")
        if self._stopping():
            raise Interrupted
        try:
            process = subprocess.Popen(  # noqa: S603 - it is what we were told to run
                self._words,
                stdin=subprocess.PIPE,
                env={key: value for key, value in os.environ.items() if key != VARIABLE},
                start_new_session=True,  # Ctrl-C is for us: we end it
            )
        except OSError as error:
            raise HandlerFailed(f"--exec at {name}: {error}") from error
        try:
            code = self._wait(process, json.dumps(to_json(change)).encode() + b"\n")
        finally:
            _end(process)
        if code < 0:
            time.sleep(LOOK_SECONDS)  # Ctrl-C may have met it before it was in its own session
        if code and self._stopping():
            raise Interrupted
        if code:
            how = f"code {code}" if code > 0 else f"signal {-code}"
            raise HandlerFailed(f"--exec at {name}: the command ended with {how}")

    def _wait(self, process: "subprocess.Popen[bytes]", data: bytes) -> int:
        given = False
        while True:
            try:
                process.communicate(None if given else data, timeout=LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                given = True
                if self._stopping():
                    raise Interrupted from None
            else:
                return process.returncode


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process, and, if it is still running, all processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
