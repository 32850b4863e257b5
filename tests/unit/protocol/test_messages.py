# SPDX-License-Identifier: BSD-3-Clause
"""Messages and changes: immutable, with RFC 4533's numbers and defaults."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from syncrepl_client.changes import Change, ChangeKind, Phase
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.modes import SyncreplMode
from syncrepl_client.protocol import messages
from syncrepl_client.protocol.messages import Entry, IdSet, PhaseEnd, Reference, State, SyncDone

UID = bytes(16)


def test_numbers_of_rfc_4533() -> None:
    assert [(state.name, state.value) for state in State] == [
        ("PRESENT", 0), ("ADD", 1), ("MODIFY", 2), ("DELETE", 3),
    ]  # fmt: skip
    assert (SyncreplMode.REFRESH_ONLY.value, SyncreplMode.REFRESH_AND_PERSIST.value) == (1, 3)


def test_defaults_of_rfc_4533() -> None:
    assert IdSet(()).deletes is False
    assert PhaseEnd(deletes=True).done is True
    assert SyncDone().deletes is False
    for message in (IdSet(()), PhaseEnd(deletes=True), SyncDone(), Entry(State.ADD, UID, "", {}),
                    Reference(State.ADD, UID, ())):  # fmt: skip
        assert message.cookie is None


CHANGE = Change(
    ChangeKind.RENAME,
    UUID(bytes=UID),
    Phase.PERSIST,
    "cn=a",
    "cn=b",
    {"cn": [b"a"]},
    {"cn": [b"b"]},
)


@pytest.mark.parametrize(
    "fact",
    [Entry(State.ADD, UID, "cn=a", {}), IdSet((UID,)), messages.NewCookie(b"c"), PhaseEnd(True),
     SyncDone(), messages.Done(None), messages.RefreshRequired(), Reference(State.ADD, UID, ()),
     CHANGE],
)  # fmt: skip
def test_immutable(fact: Any) -> None:
    for name in [*fact._fields, "more"]:
        with pytest.raises(AttributeError):
            setattr(fact, name, None)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ({"cn": [b"a"]}, {"cn": [b"b"]}, True),
        ({"cn": [b"a", b"b"]}, {"CN": [b"b", b"a"]}, False),
        ({}, {}, False),
        (None, {"cn": [b"a"]}, False),
        ({"cn": [b"a"]}, None, False),
    ],
)
def test_attrs_changed(old: Attributes | None, new: Attributes | None, changed: bool) -> None:
    assert CHANGE._replace(old_attrs=old, new_attrs=new).attrs_changed is changed
