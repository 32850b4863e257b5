# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client watch``: shows each change of a directory as it happens."""

import click

from .. import Syncrepl, SyncreplMode
from ..callbacks import LoggingCallback
from . import options
from .exits import Exit
from .target import Target


@click.command
@click.option("--once", is_flag=True, help="End when all is told that happened so far.")
@options.search(data_required=False)
def command(target: Target, once: bool) -> int:
    """Show each change of a directory as it happens."""
    mode = SyncreplMode.REFRESH_ONLY if once else SyncreplMode.REFRESH_AND_PERSIST
    with Syncrepl(callback=LoggingCallback(), mode=mode, **target.arguments) as client:
        client.run()
    return Exit.DONE
