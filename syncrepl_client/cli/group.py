# SPDX-License-Identifier: BSD-3-Clause
"""The group of subcommands: each is a module of :mod:`.commands`, imported on demand."""

from importlib import import_module
from typing import Optional

import click

COMMANDS = {
    "watch": "Show each change of a directory as it happens.",
    "doctor": "Check whether a server can be followed, and advise if not.",
    "status": "Show how far a state is behind its server.",
    "dump": "Write the entries of a state as LDIF or JSON.",
    "history": "Write what happened, from the log of changes of a state.",
    "show": "Write an entry as it is, or as it was at some time.",
    "diff": "Write what differs between two states of an entry.",
    "undo": "Write LDIF that undoes what was changed.",
    "relay": "Pass the changes of a state on to another system.",
    "run": "Follow several directories, as a file says.",
    "sinks": "Show the systems that get the changes, and what they refused.",
    "verify": "Compare a state with the directory, entry by entry.",
    "reconcile": "Make the program's next start compare everything.",
    "move": "Move a state between files and a PostgreSQL database.",
}
"""The subcommands with their help texts, in order.

The module has the subcommand's name, with ``_`` for ``-``, and contains a click command named
``command``.
"""


class Group(click.Group):
    """Looks up subcommands in :data:`COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """Import and return a subcommand."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f".commands.{cmd_name.replace('-', '_')}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
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
