# SPDX-License-Identifier: BSD-3-Clause
"""What is fuzzed: each decoder with the errors that it documents, and a few inputs to start from.

A target takes bytes.  It returns if the decoder gave a result or a documented error, and raises
whatever else came out of it, or AssertionError where a result cannot be right.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import tempfile
import zlib
from typing import Any

import ldap

from syncrepl_client import url
from syncrepl_client.entries import attributes, dn
from syncrepl_client.entries.schema import AttributeTypes
from syncrepl_client.exceptions import LDAPUrlError, ProtocolError, StoreError, StoreInvalid
from syncrepl_client.modes import SyncreplMode
from syncrepl_client.protocol import cookie, wire
from syncrepl_client.protocol.messages import IdSet, NewCookie
from syncrepl_client.protocol.view import Record
from syncrepl_client.store import MemoryStore
from syncrepl_client.store.shelve.journal import Journal, header, record
from tests.fuzz.entry import written
from tests.fuzz.pieces import UUID, Pieces, Target

SECRET = "hunter2-qX9"


# --- wire


def sync_state(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        state, uuid, new = wire.sync_state(data)
        assert state in (0, 1, 2, 3)
        assert len(uuid) == 16
        assert new is None or new in data


def sync_done(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        done = wire.sync_done(data)
        assert done.cookie is None or done.cookie in data
        assert isinstance(done.deletes, bool)


def sync_info(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        message = wire.sync_info(data)
        if isinstance(message, IdSet):
            assert all(len(uuid) == 16 and uuid in data for uuid in message.uuids)
            assert 18 * len(message.uuids) <= len(data)
        elif isinstance(message, NewCookie):
            assert message.cookie in data


_OIDS = (wire.SYNC_STATE, wire.SYNC_DONE, wire.SYNC_INFO, wire.CANCEL, "")
_TYPES = (
    ldap.RES_SEARCH_ENTRY, ldap.RES_SEARCH_REFERENCE, ldap.RES_SEARCH_RESULT,
    ldap.RES_INTERMEDIATE, ldap.RES_BIND, ldap.RES_EXTENDED,
)  # fmt: skip


def raw_result(data: bytes) -> None:
    """Decode what python-ldap's C module may hand over: its types, any content."""
    pieces = Pieces(data)
    kind = _TYPES[pieces.number(len(_TYPES))]
    controls: list[Any] = [
        (_OIDS[pieces.number(len(_OIDS))], pieces.number(2), pieces.octets() or None)
        for _ in pieces.several(3)
    ]
    first: tuple[Any, ...]
    if kind == ldap.RES_SEARCH_ENTRY:
        attrs = {
            pieces.text(): [pieces.octets() for _ in pieces.several(3)] for _ in pieces.several(4)
        }
        first = pieces.text(), attrs, controls
    elif kind == ldap.RES_INTERMEDIATE:
        first = _OIDS[pieces.number(len(_OIDS))], pieces.octets() or None, []
    else:
        first = None, [pieces.text() for _ in pieces.several(3)], controls
    with contextlib.suppress(ProtocolError):
        wire.decode(wire.RawResult(kind, [first], controls))


def attribute_types(data: bytes) -> None:
    """Whatever the schema is, the way up from a name has an end."""
    types = AttributeTypes(data.split(b"\0"))
    for word in re.findall(r"[^\s()']+", data.decode(errors="replace"))[:50]:
        assert next(types.lineage(word)) == types.identifier(word)
        assert len(list(types.lineage(word))) <= data.count(b"SUP") + 1
        types.is_operational(word)


# --- attributes, dn, cookie


def attributes_decode(data: bytes) -> None:
    with contextlib.suppress(StoreInvalid):
        attrs = attributes.decode(data)
        values = [value for several in attrs.values() for value in several]
        assert sum(map(len, values)) == len(data) - data.index(b"\n") - 1, "values overlap"
        assert attributes.decode(attributes.encode(attrs)) == attrs
        assert attributes.same(attrs, attrs)


def dn_key(data: bytes) -> None:
    name = data.decode("utf-8", "replace")
    dn.split(name)
    try:
        key = dn.key(name)
    except ValueError:
        return
    assert dn.is_live(key)
    written = dn.split(name) if name else []
    assert ",".join(written) == name
    assert key.count(b"\0") == len(written)
    for depth in range(1, len(written)):
        above = ",".join(written[depth:])
        assert key.startswith(dn.key(above)), "an ancestor's key is no prefix"
    if written:
        assert dn.parent(key) == dn.key(",".join(written[1:]))
        assert dn.rebase(name, key[len(dn.parent(key)) :], "dc=new") == f"{written[0]},dc=new"
        assert dn.key(name.upper()) is not None


def cookie_merge(data: bytes) -> None:
    old, _, new = data.partition(b"\0")
    merged = cookie.merge(old or None, new)
    assert len(merged) <= len(old) + len(new) + 16
    assert cookie.merge(merged, merged) == merged, "not idempotent"
    assert cookie.merge(merged, new) == merged, "the same again changes it"


# --- URLs


def url_parse(data: bytes) -> None:
    pieces = data.decode("utf-8", "replace").split("\0")
    whole, parts = pieces[0], [*pieces[1:7], "", "", "", "", "", ""]
    _parse(whole)
    host, base, attrs, scope, match, extra = parts[:6]
    user = host.replace("/", "")  # after a slash it would be a search base, which may be shown
    for text in (
        f"ldap://{host}/{base}?{attrs}?{scope}?{match}?bindname=cn=a,X-BINDPW={SECRET}",
        f"ldap://{host}/{base}?{attrs}?{scope}?{match}?X-BINDPW={SECRET},{extra}",
        f"{host}://h/{base}?{attrs}?{scope}?{match}?{extra},!X-BINDPW={SECRET}",
        f"ldap://{user}:{SECRET}@h/{base}?{attrs}?{scope}?{match}",
    ):
        said = _parse(text)
        assert SECRET not in said, f"{text!r} shows its password: {said!r}"


_HOST = re.compile(r"ldaps?://[\w.:\[\]-]+|ldapi://.*", re.ASCII)


def _parse(text: str) -> str:
    """Return all that is shown of *text*."""
    try:
        parsed = url.parse(text)
    except LDAPUrlError as error:
        return f"{error} {error!r}"
    shown = str(parsed)
    if not all(map(_HOST.fullmatch, parsed.servers)):
        return f"{shown} {parsed!r}"  # nothing can be reached there, so no store remembers it
    again = url.parse(shown)
    again.check_same_search(parsed)
    parsed.check_same_search(again)
    assert str(again) == shown
    return f"{shown} {parsed!r}"


# --- a store that holds anything


def store_value(data: bytes) -> None:
    """Read an entry whose packed form is *data*."""
    store = MemoryStore()
    store.create()
    store._kept[b"e" + UUID] = data
    store._kept[b"kcn=a\0"] = UUID
    _read_all(store)


def store_mapping(data: bytes) -> None:
    """Read a sound store in which values were overwritten, or names lost."""
    store = MemoryStore()
    store.create()
    store.begin()
    for number, entry in enumerate(("dc=x", "ou=a,dc=x", "cn=b,ou=a,dc=x"), 1):
        blob = attributes.encode({"cn": [b"%d" % number]})
        store.put(Record(number.to_bytes(16, "big"), dn.key(entry), entry, blob))
    store.commit()
    store._kept.update({b"ocookie": b"c", b"odialect": b"OpenLDAP", b"ourl": b"ldap://h/dc=x"})
    pieces = Pieces(data)
    while pieces.data:
        names = sorted(store._kept)
        name = names[pieces.number(len(names))] if names else b"e"
        if pieces.number(4) == 0:
            store._kept.pop(name, None)
        else:
            store._kept[name] = pieces.octets()
    _read_all(store)


def _read_all(store: MemoryStore) -> None:
    uuids = [name[1:] for name in store._kept if name[:1] == b"e"]
    with contextlib.suppress(StoreError):
        _ = store.origin
    with contextlib.suppress(StoreError):
        _ = len(store), store.has_displaced()
    with contextlib.suppress(StoreError):
        for _dn, _attrs in store.items().items():
            pass
    for key in (b"", dn.key("dc=x"), dn.key("ou=a,dc=x"), dn.FIRST_DISPLACED):
        with contextlib.suppress(StoreError):
            _ = store.at(key), list(store.below(key))
    with contextlib.suppress(StoreError):
        store.seen.mark_present(uuids)
        store.seen.any_unknown()
        list(store.seen.to_delete(unseen=True))
    with contextlib.suppress(StoreError):
        _change_all(store, uuids)
    store.rollback()
    with contextlib.suppress(StoreError):
        store._rebuild()
    store.close()


def _change_all(store: MemoryStore, uuids: list[bytes]) -> None:
    store.begin()
    for uuid in uuids:
        store.remove(uuid)
        store.put(Record(uuid, b"cn=" + uuid.hex().encode() + b"\0", "cn=x", b"{}\n"))
    store.rollback()


def journal(data: bytes) -> None:
    """Read a shelf's journal: as it is, and as a record whose checksums are right."""
    changes = record({})
    framed = struct.pack(">QI", len(data), zlib.crc32(data))
    framed += zlib.crc32(framed).to_bytes(4, "big") + data
    assert len(framed) == len(changes) + len(data)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        path = os.path.join(directory, "journal")
        for content in (data, header(0) + data, header(0) + framed + changes):
            with open(path, "wb") as file:
                file.write(content)
            with contextlib.suppress(StoreError):
                Journal(path).close()


def paged(data: bytes) -> None:
    """Decode the control of a page's end."""
    with contextlib.suppress(ProtocolError):
        assert isinstance(wire.paged_cookie(data), bytes)


# --- all of them

_STATE = b"\x30\x15\x0a\x01\x01\x04\x10" + UUID
_CSN = b"20261123120000.000001Z#000000#001#000000"

TARGETS: dict[str, Target] = {
    "sync_state": Target(sync_state, (
        _STATE,
        b"\x30\x1a\x0a\x01\x03\x04\x10" + UUID + b"\x04\x03abc",
        b"\x30\x81\x15\x0a\x01\x02\x04\x10" + UUID,
        b"\x30\x84\xff\xff\xff\xff",
    )),
    "sync_done": Target(sync_done, (
        b"\x30\x00", b"\x30\x03\x01\x01\xff", b"\x30\x08\x04\x03abc\x01\x01\x00", b"\x30\x80",
    )),
    "sync_info": Target(sync_info, (
        b"\x80\x03abc",
        b"\xa1\x03\x01\x01\x00",
        b"\xa2\x05\x04\x03abc",
        wire._encode(0xA3, wire._encode(0x31, (b"\x04\x10" + UUID) * 2)),
        wire._encode(0xA3, b"\x04\x01c\x01\x01\xff" + wire._encode(0x31, b"\x04\x10" + UUID)),
        wire.sync_request(SyncreplMode.REFRESH_ONLY, b"c"),
    )),
    "raw_result": Target(raw_result, (
        b"\0\1\0\0\x17" + _STATE + b"\2\2cn\2\1a\1a\2sn\1\1b\7cn=a,dc",
        b"\1\1\0\0\x17" + _STATE + b"\1\x08ldap://h",
        b"\2\1\1\0\2\x30\0",
        b"\3\0\2\5\x80\3abc",
    )),
    "entry": Target(written, (
        b"\0\1a\2\2cn\1\1a\2sn\2\1b\1c",
        b"\1\2a\n\3\5cn;\nx\1\1a\x10userPassword;x-y\1\4\xff\0\n:\2l:\1\0",
        b"\0\1a\1\x1edescription: x\n\ndn: o=x\nchange\1\1a",
        b"\0\1a\1\nchangetype\1\6delete",
        b"\0\1a\2\2cn\0\2sn\1\x09< file:/a",
    )),
    "attribute_types": Target(attribute_types, (
        b"( 2.5.18.1 NAME 'createTimestamp' USAGE directoryOperation )",
        b"( 1.2 NAME ( 'a' 'B' ) DESC 'x' USAGE dSAOperation X-ORIGIN 'y' )\0( 1.3 NAME 'c' )",
        b"( 1 NAME ( USAGE distributedOperation",
    )),
    "attributes": Target(attributes_decode, (
        attributes.encode({"cn": [b"a", b""], "jpegPhoto": [b"\xff\n\0"]}),
        b"{}\n", b'{"a":[1e3]}\n', b'{"a":[2,-2,2]}\nab', b"[" * 100 + b"\n", b'{"a":{"b":1}}\n',
    )),
    "dn": Target(dn_key, tuple(name.encode() for name in (
        "dc=example,dc=com", "cn=a\\,b+sn=c,dc=x", 'cn="a,b",dc=x', "cn=#04024869", "cn=\\C3\\A9",
        "memberUid=A,ou= B ,dc=x", "CN=É,DC=X", "cn=a\\", "cn=", "2.5.4.3=a", "cn=\\00,dc=x", "",
    ))),
    "cookie": Target(cookie_merge, (
        b"rid=000,csn=" + _CSN + b"\0rid=000,sid=002,csn=" + _CSN.replace(b"#001#", b"#002#"),
        b"\0rid=001,sid=001,csn=" + _CSN + b",delcsn=" + _CSN,
        b"host:389#cn=a:dc=x:(a=b)#7\0host:389#cn=a:dc=x:(a=b)#8",
        b"rid=,csn=;;#\0csn=#,rid=",
    )),
    "url": Target(url_parse, tuple(text.encode() for text in (
        "ldap://h:389/dc=x?*,+?sub?(a=b)?bindname=cn=a%2cdc=x,X-BINDPW=p\0h\0dc=x\0*\0sub\0(a=b)\0",
        "ldapi://%2frun%2fs/dc=x??one\0h:1\0cn=%C3%A9,dc=x\0cn,sn\0one\0(a=%3f)\0!x=y",
        "ldaps://[::1]/o=a%20b\0a@b\0#\0,\0x\0)\0bindname",
    ))),
    "store_value": Target(store_value, (
        b"\0\0\0\5\0\0\0\4cn=a\0cn=a{}\n", b"\xff\xff\xff\xff\0\0\0\1a", b"\0",
    )),
    "paged": Target(paged, (
        b"\x30\x05\x02\x01\x00\x04\x00", b"\x30\x80", wire.paged_request(9, b"c"),
    )),
    "journal": Target(journal, (
        header(2) + record({b"ecn": b"x", b"k": None}), record({b"a": b""}), header(0), b"\0" * 40,
        b"\0\0\0\1\0\0\0\1ab", b"\0\0\0\1\xff\xff\xff\xffa", b"\xff" * 9,
    )),
    "store_mapping": Target(store_mapping, (b"\0\1\0", b"\2\1\3abc", b"\x05\1\1\xff\0\0")),
}  # fmt: skip


def check_corpus() -> None:
    """Run every target over its own corpus."""
    for name, target in TARGETS.items():
        for data in target.corpus:
            try:
                target.check(data)
            except Exception as error:
                raise AssertionError(f"{name}: {json.dumps(data.hex())}") from error


_LONG = 1 << 16
_FIFTH = b"ldap://h/dc=x????"

HOSTILE: list[tuple[str, bytes]] = [
    ("sync_info", wire._encode(0xA3, wire._encode(0x31, (b"\x04\x10" + UUID) * 3000))),
    ("sync_info", b"\xa3\x84\xff\xff\xff\xff" + b"\x30\x84" * _LONG),
    ("sync_state", b"\x30" * _LONG),
    ("entry", b"\0\1a\5" + b"\xff" * _LONG),
    ("raw_result", b"\0\1\0\0\x17" + b"\4" * _LONG),
    ("attribute_types", b"NAME (" * (_LONG // 6)),
    ("attribute_types", b"NAME '" + b" " * _LONG),
    ("attribute_types", b"NAME" + b" " * _LONG),
    ("attributes", b"[" * _LONG + b"\n"),
    ("attributes", b'{"a":' * _LONG + b"\n"),
    ("attributes", b'{"a":[' + b"9" * _LONG + b"]}\n"),
    ("dn", b"cn=" + b"a" * _LONG + b"\\"),
    ("dn", b"cn=" + b"a" * _LONG + b'"'),
    ("dn", b"cn=" + b'"a' * _LONG + b"\\"),
    ("dn", b"cn=" + b"\\," * _LONG + b"\\"),
    ("dn", b"+a=b" * _LONG + b'"'),
    ("dn", b"cn=" + b" " * _LONG + b"\xc3\xa9"),
    ("dn", b"cn=" + b"\xef\xb7\xba" * 4096),
    ("cookie", b"\0rid=000,csn=" + b";".join(b"t#0#%03x#0" % n for n in range(9000))),
    ("cookie", b"\0" + b"rid=0," * _LONG),
    ("url", _FIFTH + b"," * _LONG),
    ("url", _FIFTH + b"bindname=" + b"%2c" * _LONG),
    ("url", b"ldap://" + b"?" * _LONG),
    ("store_value", b"\0\0\x10\0" + b"a" * _LONG),
    ("store_value", b"\0\0\x04\0" + b"\0" * 1024),
]
"""Inputs that would be a trap for a decoder that is quadratic, or that recurses."""
