# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client relay``: passes the changes in the log of a state on to a sink."""

import logging
import os
from typing import Optional

import click

from ...entries.differences import OPERATIONAL
from ...network.credentials import PasswordFile, PasswordVariable
from ...sinks import Relay, Sink
from ...sinks.endpoint import Secret
from ...sinks.registry import SINKS, kind_of, make_sink
from ...store import DataPath
from .. import options, parameters
from ..exits import Exit
from ..signals import Signals

VARIABLE = "SYNCREPL_WEBHOOK_SECRET"
SINK_VARIABLE = "SYNCREPL_SINK_SECRET"
_FILE = click.Path(exists=True, dir_okay=False)


@click.command
@click.option("--sink", "where", metavar="URL | MODULE:NAME", required=True,
              help="Where to: the https URL of a webhook; a URL that begins with redis, amqp, "
              "nats, kafka or scim+https, with further arguments in its query; or a class of your "
              "own, or a function without arguments that returns a sink.")  # fmt: skip
@click.option("--name", metavar="NAME", required=True,
              help="The name of the sink, under which the state keeps its position.")  # fmt: skip
@click.option("--from-start", is_flag=True,
              help="A new sink gets all changes that the log has  [default: those from now on]"
              )  # fmt: skip
@click.option("--snapshot", is_flag=True,
              help="A new sink first gets all entries of the state.")  # fmt: skip
@click.option("--once", is_flag=True, help="End when the sink has all changes.")
@click.option("--secret-file", metavar="FILE", type=_FILE,
              help="Read the secret, which is a webhook's signing secret, a password or a token, "
              "from the first line of FILE. Without it, it is taken from the environment variable "
              f"{VARIABLE} for a webhook, {SINK_VARIABLE} for others.")  # fmt: skip
@click.option("--cacert", metavar="FILE", type=_FILE,
              help="Certificates of the authorities to trust.")  # fmt: skip
@click.option("--source", metavar="URI",
              help="The source in the events  [default: the search base, as a URL]")  # fmt: skip
@click.option("--max-parked", metavar="N", type=click.IntRange(1), default=1000, show_default=True,
              help="How many changes may be parked; then it waits.")  # fmt: skip
@click.option("--operational", is_flag=True,
              help="Send also the attributes that servers keep by themselves.")  # fmt: skip
@options.data(required=True, help=options.LOOK)
@options.verbose
def command(
    data_path: DataPath,
    where: str,
    name: str,
    from_start: bool,
    snapshot: bool,
    once: bool,
    secret_file: Optional[str],
    cacert: Optional[str],
    source: Optional[str],
    max_parked: int,
    operational: bool,
) -> int:
    """Pass the changes in the log of a state on to another system, until it is stopped.

    The state may be in use. Each change that was committed is sent at least once, those of an
    entry in order, as a CloudEvent in JSON. What the other system does not take now is sent
    again. What it refuses for good is parked, with the later changes of the same entry: see the
    command sinks.

    To have a log: watch --log, or a program with changelog=.
    """
    with Signals[Relay]() as signals:
        relay = Relay(
            data_path,
            _sink(where, secret_file, cacert, data_path),
            name=name,
            position=0 if from_start else None,
            snapshot=snapshot,
            source=source,
            leave_out=() if operational else OPERATIONAL,
            max_parked=max_parked,
        )
        signals.client = relay
        relay.run(once=once)
    return Exit.DONE


def _sink(
    where: str, secret_file: Optional[str], cacert: Optional[str], data_path: DataPath
) -> Sink:
    kind = kind_of(where)
    if kind is not None:
        # What it logs about connections is in the sink's answers, too.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        secret = _secret(kind, where, secret_file)
        try:
            return make_sink(where, secret, data_path=data_path, cacert=cacert)
        except ModuleNotFoundError as error:
            raise click.UsageError(f"{error}.") from None
    if secret_file is not None or cacert is not None:
        raise click.UsageError("--secret-file and --cacert are for sinks with a URL.")
    try:
        sink = parameters.calling(where, parameters.reference(where))
    except ValueError as error:
        schemes = ", ".join(each for kind in SINKS.values() for each in kind.schemes)
        raise click.BadParameter(
            f"{where!r} is neither a URL of a sink ({schemes}) nor MODULE:NAME: {error}.",
            param_hint="--sink",
        ) from error
    if not isinstance(sink, Sink):
        raise click.BadParameter(f"{where} is no syncrepl_client.sinks.Sink.", param_hint="--sink")
    return sink


def _secret(kind: str, url: str, secret_file: Optional[str]) -> Optional[Secret]:
    if secret_file is not None:
        return PasswordFile(secret_file)
    variable = VARIABLE if kind == "webhook" else SINK_VARIABLE
    has_user = "@" in url.partition("://")[2].partition("/")[0]
    if SINKS[kind].needs_secret or has_user or variable in os.environ:
        return PasswordVariable(variable)
    return None
