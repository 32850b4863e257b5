# SPDX-License-Identifier: BSD-3-Clause
"""Changes as CloudEvents 1.0 in the JSON format (structured content mode)."""

from collections.abc import Collection
from typing import Any, Optional
from urllib.parse import quote

from .. import url
from ..changelog.log import Event
from ..exceptions import ConfigurationError
from ..formats import events
from ..formats.jsonlines import dumps
from .base import Message

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
"""The media type of a body."""
TYPE = "io.readthedocs.syncrepl-client"
"""What the type of an event begins with: its domain, as CloudEvents recommends."""
SCHEMA = "https://syncrepl-client.readthedocs.io/schemas/change-1.json"
"""The JSON Schema of the member ``data``.  A change that readers could trip over has another."""


def message(event: Event, source: str, leave_out: Collection[str] = ()) -> Message:
    """Return *event*, which has a change, as a message.

    Args:
        event: the event.
        source: the URI that, with the id, identifies it.
        leave_out: names, without options and in any case, of attributes that are left out.
    """
    members = to_cloudevent(event, source, leave_out)
    return Message(members["id"], members["partitionkey"], dumps(members).encode(), event)


def to_cloudevent(event: Event, source: str, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return *event*, which has a change, as an object for ``json.dumps``.

    Raises:
        ValueError: it has none.
    """
    data = events.to_json(event, leave_out=leave_out)
    if event.change is None:
        raise ValueError("the event that starts a log is no change")
    return {
        "specversion": "1.0",
        "id": data["id"],
        "source": source,
        "type": f"{TYPE}.{data['kind']}",
        # A reference (RFC 4533, section 3.6) has no DN.
        "subject": data.get("dn") or data["uuid"],
        "time": data["time"],
        "datacontenttype": "application/json",
        "dataschema": SCHEMA,
        "partitionkey": data["uuid"],  # an extension of CloudEvents: Partitioning
        "data": data,
    }


def source_of(search: Optional[str]) -> str:
    """Return the default source: the base of a search, as a URL (RFC 4516) without a server.

    So it stays the same when the directory moves to another host.

    Args:
        search: the URL of the search; None if it is not known.
    """
    base = url.parse(search).base if search else ""
    return f"ldap:///{quote(base, safe='=,+')}"


def check_source(source: str) -> str:
    """Return *source*.

    Raises:
        ConfigurationError: it is not a URI reference that is not empty (CloudEvents, source).
    """
    if type(source) is not str or not source.isascii() or not source.isprintable():
        raise ConfigurationError(f"source is a URI in ASCII, not {source!r}")
    if not source or set(source) & set(' <>"{}|\\^`'):
        raise ConfigurationError(f"source is a URI, not {source!r}")
    return source
