# SPDX-License-Identifier: BSD-3-Clause
"""An entry whose names and values are any, and what is written down of it."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import uuid

import ldap
import pytest

from syncrepl_client import Change, ChangeKind, Phase
from syncrepl_client.entries import attributes, descriptions
from syncrepl_client.entries.printable import printable
from syncrepl_client.exceptions import ProtocolError, StoreInvalid
from syncrepl_client.formats import content, ldifrecord
from syncrepl_client.protocol import received, wire
from syncrepl_client.protocol.view import Record
from tests.fuzz.pieces import UUID, Pieces

_LDIF_LINE = re.compile(r"[A-Za-z0-9_][\w.=;-]*:(?: [!-~][ -~]*|: [A-Za-z0-9+/=]*|:? ?)", re.ASCII)


def written(data: bytes) -> None:
    """Write an entry down whose names and values are any: it must come back from LDIF as it was."""
    pieces = Pieces(data)
    users = pieces.number(2)  # who made names up, where the server lets them
    dn_of_it = "cn=" + pieces.text().replace(",", "").replace("+", "")
    attrs = {pieces.text(): [pieces.octets() for _ in pieces.several(3)] for _ in pieces.several(5)}
    if users:
        removed = received.remove_invalid_names(attrs)
        assert not removed or all(name not in attrs for name in removed)
    raw = wire.RawResult(ldap.RES_SEARCH_ENTRY, [(dn_of_it, attrs, [])], [])
    blob = attributes.encode({name: list(values) for name, values in attrs.items()})
    stored = Record(UUID, b"k", dn_of_it, blob)  # as versions without that check have stored it
    with contextlib.suppress(StoreInvalid):
        _read_back(dn_of_it, attrs, content.to_ldif(stored, ()))
    json.loads(content.to_json(stored, ()))
    if descriptions.invalid(attrs) or not all(attrs.values()):
        with pytest.raises(ProtocolError) as caught:
            wire.search_entry(raw)
        assert str(caught.value).isprintable(), "an error of more than a line"
        return
    taken = wire.search_entry(raw).attrs
    added = Change(
        ChangeKind.ADD, uuid.UUID(bytes=UUID), Phase.PERSIST, None, dn_of_it, None, taken
    )
    _read_back(dn_of_it, taken, ldifrecord.to_ldif(added))
    assert printable(dn_of_it + "".join(taken)).isprintable()


def _read_back(name: str, attrs: dict[str, list[bytes]], text: str) -> None:
    """See that *text* is one LDIF record, of that entry."""
    if not text:
        assert not attrs
        return
    assert text.isascii()
    assert text.endswith("\n\n")
    lines = text[:-2].replace("\n ", "").split("\n")
    assert all(map(_LDIF_LINE.fullmatch, lines)), "a line that is none of LDIF's"
    assert sum(map(len, attrs.values())) == len(lines) - 1 - lines.count("changetype: add")
    found: dict[str, list[bytes]] = {}
    for line in lines[1 + lines.count("changetype: add") :]:
        key, _, value = line.partition(":")
        encoded = value.startswith(":")
        found.setdefault(key, []).append(
            base64.b64decode(value[1:]) if encoded else value[1:].encode()
        )
    assert found == {key: values for key, values in attrs.items() if values}
