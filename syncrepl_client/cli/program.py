# SPDX-License-Identifier: BSD-3-Clause
"""Runs a subcommand, and converts exceptions to exit codes."""

import logging
import sys
from collections.abc import Sequence
from typing import Optional

import click

from .errors import EXPECTED, ReaderGone, exit_code, one_line
from .exits import Exit
from .group import group
from .output import terminal

logger = logging.getLogger(__name__)


def run(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command; return its exit code.

    Args:
        arguments: without the program's name; None for ``sys.argv``.
    """
    terminal.prepare()
    terminal.log(0)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except (BrokenPipeError, ReaderGone):
        code = Exit.BROKEN_PIPE
    except OSError as error:
        terminal.say("error", one_line(error))
        code = Exit.HANDLER
    if code in (Exit.BROKEN_PIPE, Exit.HANDLER):
        terminal.give_up_output()
    return code


def _run(arguments: Optional[Sequence[str]]) -> int:
    try:
        returned = group.main(arguments, prog_name="syncrepl-client", standalone_mode=False)
        return returned if isinstance(returned, int) else Exit.DONE
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption) and error.option_name == "-w":
            from .target import VARIABLE

            error = click.UsageError(
                "There is no -w: everybody on this machine would see the password. -W asks for it, "
                f"-y FILE reads it, the environment variable {VARIABLE} holds it.",
                error.ctx,
            )
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        terminal.say("error", "interrupted")
        return Exit.INTERRUPTED
    except EXPECTED as error:
        terminal.say("error", one_line(error))
        return exit_code(error)
    except OSError:
        raise
    except Exception:
        logger.exception("this is a fault in syncrepl-client; please report it")
        return Exit.INTERNAL
