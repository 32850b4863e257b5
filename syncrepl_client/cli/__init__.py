# SPDX-License-Identifier: BSD-3-Clause
"""The command ``syncrepl-client``; it requires the extra ``[cli]``, unlike the library."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Optional

from .exits import Exit

_NEEDED = ("click", "rich")


def main(arguments: Optional[Sequence[str]] = None) -> NoReturn:
    """Run the command, and exit with one of the codes of :class:`.exits.Exit`.

    Args:
        arguments: without the program's name; None for ``sys.argv``.
    """
    try:
        for name in _NEEDED:
            import_module(name)
        from .program import run
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        sys.stderr.write(
            f"syncrepl-client: error: the command needs {error.name}, which is not installed: "
            "pip install 'syncrepl_client[cli]'\n"
        )
        sys.exit(Exit.USAGE)
    sys.exit(run(arguments))
