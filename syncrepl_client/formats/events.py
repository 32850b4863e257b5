# SPDX-License-Identifier: BSD-3-Clause
"""Events of the log of changes as JSON objects and LDIF change records (RFC 2849)."""

from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

from ..changelog.log import Event
from ..changelog.rows import is_left_out
from ..entries.differences import AttributeChange, without
from .jsonlines import json_differences, rfc3339
from .jsonlines import to_json as change_to_json
from .ldifrecord import to_ldif as change_to_ldif


def to_json(event: Event, *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return *event* as an object for ``json.dumps``.

    It has the members of the change, as :func:`.jsonlines.to_json` has them, and ``seq``, ``id``
    (in hexadecimal) and ``csn``.  An event of a snapshot has the kind ``snapshot`` and a member
    ``snapshot``; the event that starts the log has the kind, and nothing of an entry.

    Args:
        event: the event.
        leave_out: names, without options and in any case, of attributes that are left out.
    """
    members: dict[str, Any] = {"seq": event.seq, "id": event.id.hex()}
    if event.change is None:
        return {**members, "kind": event.kind, "time": rfc3339(_when(event))}
    if event.csn is not None:
        members["csn"] = event.csn
    members.update(change_to_json(event.change, leave_out=leave_out))
    if event.snapshot is not None:
        members.update(kind=event.kind, snapshot=event.snapshot.hex())
    if "differences" in members:  # which the change has without those whose values were left out
        members["differences"] = json_differences(differences(event, leave_out))
    return members


def to_ldif(event: Event, *, leave_out: Collection[str] = ()) -> str:
    """Return the LDIF change records of *event*, after a comment line with its time.

    A comment names the attributes whose values were left out.  Without a record, return "".

    Args:
        event: the event.
        leave_out: names, without options and in any case, of attributes that are left out.
    """
    if event.change is None:
        return ""
    records = change_to_ldif(event.change, leave_out=leave_out)
    hidden = [each.name for each in differences(event, leave_out) if is_left_out(each)]
    lines = [f"# {rfc3339(_when(event))}"]
    if hidden:
        lines.append(f"# changed, and the values were left out: {', '.join(hidden)}")
    return "\n".join([*lines, records]) if records or hidden else ""


def differences(event: Event, leave_out: Collection[str] = ()) -> list[AttributeChange]:
    """Return the differences of *event*, without some attributes."""
    kept = without({each.name: [] for each in event.differences}, leave_out)
    return [each for each in event.differences if each.name in kept]


def _when(event: Event) -> datetime:
    return datetime.fromtimestamp(event.time, timezone.utc)
