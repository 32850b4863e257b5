# SPDX-License-Identifier: BSD-3-Clause
"""The group of subcommands: each is a module of this package, imported when it is asked for."""

from importlib import import_module
from typing import Optional

import click

COMMANDS = {
    "watch": "Show each change of a directory as it happens.",
    "doctor": "See whether a server can be followed, and what to do if not.",
    "status": "Say how far a state is behind its server.",
    "dump": "Write the entries of a state as LDIF or JSON.",
    "verify": "Compare a state with the directory, entry by entry.",
    "reconcile": "Have the program's next start compare everything.",
}
"""The subcommands, in the order of the help, with what each does.

The module has the subcommand's name, with ``_`` for ``-``, and in it a click command of the name
``command``.
"""


class Group(click.Group):
    """Finds subcommands in :data:`COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """Import one, and return it."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f".{cmd_name.replace('-', '_')}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(package_name="syncrepl_client")
def group() -> None:
    """Follow an LDAP directory: content synchronization (RFC 4533, syncrepl).

    Each subcommand has a --help of its own.
    """
