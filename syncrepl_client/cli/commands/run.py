# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client run``: several streams and their sinks in one process."""

import logging
import sys

import click

from ...service import Notifier
from .. import options
from ..exits import Exit
from ..service.document import Invalid
from ..service.settings import read

EXAMPLES = """\b
Example of a file:
  [service]
  listen = 9400
  [stream.people]
  url = "ldaps://ldap.example.com/dc=example,dc=com??sub?(uid=*)"
  bind_dn = "cn=reader,dc=example,dc=com"
  password_file = "/etc/syncrepl-client/password"
  data = "/var/lib/syncrepl-client/people-"
  log = "30d"
  [stream.people.sink.crm]
  url = "https://crm.example.com/ldap"
  secret_file = "/etc/syncrepl-client/crm.secret"
"""


@click.command(epilog=EXAMPLES)
@click.argument("config", metavar="CONFIG", type=click.Path())
@click.option("--check", is_flag=True, help="Check the file, and end.")
@options.verbose
def command(config: str, check: bool) -> int:
    """Follow several directories, and pass their changes on, as the TOML file CONFIG says.

    It is checked before anything starts. Each stream has a thread: if one fails, or its server is
    away, the others go on, and it is tried again. SIGTERM lets the sinks get what is committed;
    SIGHUP reads the file again.

    Exit code 78 means that the file is wrong; stderr says where.
    """
    try:
        settings = read(config)
    except Invalid as error:
        for line in error.lines:
            sys.stderr.write(f"{line}\n")
        return Exit.CONFIG
    if check:
        return Exit.DONE
    # What it logs about connections is in the answers of its sinks, too.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    from ..service.serving import serve

    return serve(config, settings, Notifier())
