# SPDX-License-Identifier: BSD-3-Clause
"""Options shared by subcommands.

They are named like those of the OpenLDAP tools: ``-H -b -s -D -W -y -Y -U -X -Z``.
"""

import functools
from typing import Any, Callable, Optional

import click
import ldap

from ..exceptions import ConfigurationError
from ..store.location import SCHEMA, DataPath, in_schema
from . import target
from .errors import ConnectionFailed, one_line
from .output import terminal

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]


_FILE = click.Path(exists=True, dir_okay=False)
_CONNECTION: tuple[Decorator, ...] = (
    click.option("-H", "--uri", "uri", metavar="URI",
                 help="Server: ldap://HOST, ldaps://HOST, ldapi:///. "
                 "Several, with blanks between: the first that answers."),
    click.option("-b", "--base", "base", metavar="BASE", help="Search base."),
    click.option("-s", "--scope", "scope", type=click.Choice(list(target.SCOPES)),
                 help="Scope  [default: sub; in a URL: base]"),
    click.option("-D", "--bind-dn", "bind_dn", metavar="BINDDN",
                 help="Bind as that DN, with a password."),
    click.option("-W", "ask", is_flag=True, help="Ask for the password."),
    click.option("-y", "password_file", metavar="FILE", type=_FILE,
                 help="Read the password from the first line of FILE. Without -W and -y it is "
                 f"taken from the environment variable {target.VARIABLE}."),
    click.option("-x", "simple", is_flag=True, hidden=True),
    click.option("-Y", "mechanism", metavar="MECH",
                 help="Bind with a SASL mechanism: GSSAPI, EXTERNAL, SCRAM-SHA-256, SCRAM-SHA-1."),
    click.option("-U", "sasl_user", metavar="USER", help="User name for SCRAM."),
    click.option("-X", "authzid", metavar="AUTHZID",
                 help="With SASL: act as dn:DN or u:NAME."),
    click.option("-Z", "--starttls", "starttls", is_flag=True, help="Start TLS, or fail."),
    click.option("--cacert", metavar="FILE", type=_FILE,
                 help="Certificates of the authorities to trust."),
    click.option("--cert", metavar="FILE", type=_FILE, help="Client certificate."),
    click.option("--key", metavar="FILE", type=_FILE, help="Key of the client certificate."),
)  # fmt: skip
_VERBOSE = click.option("-v", "--verbose", count=True, help="Log more to stderr; -vv: everything.")


KEEP = "Keep the state in that directory, which exists, or in files whose names begin with PATH."
LOOK = (
    "The state: a directory, what the names of its files begin with, or the URL of a PostgreSQL "
    "database."
)


def data(*, required: bool, help: str = KEEP) -> Decorator:
    """Return a decorator that adds the option --data; its value is the ``data_path`` of Syncrepl.

    Args:
        required: whether the option is required.
        help: the help text.
    """
    where = click.option(
        "-d",
        "--data",
        "data_path",
        type=click.Path(),
        metavar="PATH",
        required=required,
        callback=_in_schema,
        help=help,
    )
    schema = click.option(
        "--schema",
        metavar="NAME",
        is_eager=True,
        expose_value=False,
        callback=_keep_schema,
        help="Where --data is the URL of a PostgreSQL database: the schema there, if it is not "
        f"{SCHEMA!r}.",
    )
    return lambda command: where(schema(command))


def _keep_schema(context: click.Context, parameter: click.Parameter, value: Optional[str]) -> None:
    context.meta[__name__] = value


def _in_schema(
    context: click.Context, parameter: click.Parameter, value: Optional[str]
) -> Optional[DataPath]:
    try:
        return None if value is None else in_schema(value, context.meta.get(__name__))
    except ConfigurationError as error:
        raise click.UsageError(f"--schema: {error}") from None


def verbose(command: Function) -> Function:
    """Decorator that adds and processes the option --verbose."""

    @functools.wraps(command)
    def wrapper(*args: Any, verbose: int, **kwargs: Any) -> Any:
        terminal.log(verbose)
        return command(*args, **kwargs)

    return _VERBOSE(wrapper)


def search(*, data_required: bool, data_help: str = KEEP) -> Decorator:
    """Return a decorator that adds all options of server, search and bind, and --verbose.

    The command gets the argument *target*, a :class:`.target.Target`.  An invalid combination is a
    ``click.UsageError``, before anything is connected or prompted for.

    Args:
        data_required: whether --data is required.
        data_help: the help text of --data.
    """

    def decorate(command: Function) -> Function:
        @functools.wraps(command)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            given = {name: kwargs.pop(name) for name in target.Given._fields}
            chosen = target.choose(target.Given(**given))
            try:
                return command(*args, target=chosen, **kwargs)
            except ldap.LDAPError as error:
                servers = " ".join(chosen.url.servers)
                missing = isinstance(error, ldap.NO_SUCH_OBJECT)
                hint = f": is the base {chosen.url.base} there?" if missing else ""
                raise ConnectionFailed(f"{servers}: {one_line(error)}{hint}") from error

        decorated = verbose(wrapper)
        for option in (*reversed(_CONNECTION), data(required=data_required, help=data_help)):
            decorated = option(decorated)
        return click.argument("words", nargs=-1, metavar="[URL | FILTER [ATTRS]...]")(decorated)

    return decorate
