# SPDX-License-Identifier: BSD-3-Clause
"""Bytes to messages: every decoder against RFC 4533's ASN.1, and against whatever else comes."""

from __future__ import annotations

from typing import Any, Callable

import ldap
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncrepl_client.exceptions import ProtocolError
from syncrepl_client.modes import SyncreplMode
from syncrepl_client.protocol import wire
from syncrepl_client.protocol.dialect import DS389, OPENLDAP, OTHER, Refusal
from syncrepl_client.protocol.messages import (
    Done,
    Entry,
    IdSet,
    NewCookie,
    PhaseEnd,
    Reference,
    RefreshRequired,
    State,
    SyncDone,
)
from syncrepl_client.protocol.received import remove_invalid_names

UUID = bytes(range(16))
BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31
TRUE, FALSE = b"\x01\x01\xff", b"\x01\x01\x00"

Decoder = Callable[[bytes], object]
DECODERS: list[Decoder] = [wire.sync_state, wire.sync_done, wire.sync_info, wire.paged_cookie]


def tlv(tag: int, *content: bytes, width: int = 0) -> bytes:
    """Encode one element; *width*: at least so many bytes of long-form length."""
    body = b"".join(content)
    size = len(body)
    while width or size > 0x7F:
        if width and size < 256**width:
            return bytes((tag, 0x80 | width)) + size.to_bytes(width, "big") + body
        width += 1
    return bytes((tag, size)) + body


def state(number: int, uuid: bytes = UUID, cookie: bytes | None = None, width: int = 0) -> bytes:
    parts = [tlv(ENUMERATED, bytes((number,)), width=width), tlv(OCTETS, uuid, width=width)]
    if cookie is not None:
        parts.append(tlv(OCTETS, cookie, width=width))
    return tlv(SEQUENCE, *parts, width=width)


def optional(cookie: bytes | None, flag: bytes, width: int = 0) -> bytes:
    return (b"" if cookie is None else tlv(OCTETS, cookie, width=width)) + flag


def id_set(*uuids: bytes, cookie: bytes | None = None, flag: bytes = b"", width: int = 0) -> bytes:
    members = (tlv(OCTETS, uuid, width=width) for uuid in uuids)
    return tlv(0xA3, optional(cookie, flag, width), tlv(SET, *members, width=width), width=width)


COOKIES = [None, b"", b"rid=000,csn=x", bytes(range(256))]
WIDTHS = [0, 1, 2, 3, 4]
STATES = [
    (state(member.value, UUID, cookie, width), (member, UUID, cookie))
    for member in State
    for cookie in COOKIES
    for width in WIDTHS
    if width != 1 or cookie is None or len(cookie) < 200
]
FLAGS = [(TRUE, True), (b"\x01\x01\x01", True), (FALSE, False)]
DONES = [
    (tlv(SEQUENCE, optional(cookie, flag), width=width), SyncDone(deletes, cookie))
    for cookie in COOKIES
    for flag, deletes in [*FLAGS, (b"", False)]
    for width in (0, 2, 4)
]
INFOS: list[tuple[bytes, object]] = [
    *(
        (tlv(0x80, cookie, width=width), NewCookie(cookie))
        for cookie in COOKIES
        if cookie is not None
        for width in (0, 2, 4)
    ),
    *(
        (tlv(tag, optional(cookie, flag), width=width), PhaseEnd(tag == 0xA1, ends, cookie))
        for tag in (0xA1, 0xA2)
        for cookie in COOKIES
        for flag, ends in [*FLAGS, (b"", True)]
        for width in (0, 2, 4)
    ),
    *(
        (id_set(*uuids, cookie=cookie, flag=flag, width=width), IdSet(uuids, deletes, cookie))
        for uuids in ((), (UUID,), (UUID, bytes(16), b"\xff" * 16))
        for cookie in COOKIES
        for flag, deletes in [*FLAGS, (b"", False)]
        for width in (0, 2, 4)
    ),
]
PAGES = [
    (tlv(SEQUENCE, tlv(INTEGER, size, width=width), tlv(OCTETS, cookie, width=width)), cookie)
    for cookie in (b"", b"0", bytes(range(256)))
    for size in (b"\0", b"\x27\x10", b"\x7f\xff\xff\xff")
    for width in (0, 2, 4)
]
GOOD: list[tuple[Decoder, bytes, object]] = [
    *((wire.sync_state, *case) for case in STATES),
    *((wire.sync_done, *case) for case in DONES),
    *((wire.sync_info, *case) for case in INFOS),
    *((wire.paged_cookie, *case) for case in PAGES),
]


def test_good_values() -> None:
    for decoder, value, expected in GOOD:
        assert decoder(value) == expected, value.hex()


def test_bytes_that_slapd_sent() -> None:
    """Not of this test's encoder: RFC 4533's DER by hand."""
    uuid = "11e1f7d6c1e14b0c9a5b1f3b5f6f7a80"
    assert wire.sync_state(bytes.fromhex(f"30150a01010410{uuid}")) == (
        State.ADD, bytes.fromhex(uuid), None,
    )  # fmt: skip
    assert wire.sync_state(bytes.fromhex(f"30190a01030410{uuid}04026162")) == (
        State.DELETE, bytes.fromhex(uuid), b"ab",
    )  # fmt: skip
    assert wire.sync_done(bytes.fromhex("30070402616201 01ff")) == SyncDone(True, b"ab")
    assert wire.sync_done(bytes.fromhex("3000")) == SyncDone(False, None)
    assert wire.sync_info(bytes.fromhex("80026162")) == NewCookie(b"ab")
    assert wire.sync_info(bytes.fromhex("a100")) == PhaseEnd(True, True, None)
    assert wire.sync_info(bytes.fromhex("a203010100")) == PhaseEnd(False, False, None)
    assert wire.sync_info(bytes.fromhex(f"a3170101ff31120410{uuid}")) == IdSet(
        (bytes.fromhex(uuid),), True
    )


def test_truncated_at_every_byte() -> None:
    for decoder, value, _ in GOOD:
        for end in range(min(len(value), 120)):
            with pytest.raises(ProtocolError):
                decoder(value[:end])


def test_something_follows() -> None:
    for decoder, value, _ in GOOD:
        with pytest.raises(ProtocolError):
            decoder(value + b"\0")


@pytest.mark.parametrize(
    "value",
    [
        tlv(SEQUENCE, tlv(ENUMERATED, b"\1"), tlv(OCTETS, UUID), tlv(OCTETS, b"c"), TRUE),
        tlv(SEQUENCE, tlv(ENUMERATED, b"\1"), tlv(OCTETS, UUID), TRUE),
        tlv(SEQUENCE, tlv(OCTETS, UUID), tlv(ENUMERATED, b"\1")),
        tlv(SEQUENCE, tlv(INTEGER, b"\1"), tlv(OCTETS, UUID)),
        tlv(SEQUENCE, tlv(ENUMERATED, b"\1"), tlv(SEQUENCE, UUID)),
        tlv(SET, tlv(ENUMERATED, b"\1"), tlv(OCTETS, UUID)),
        tlv(SEQUENCE, tlv(ENUMERATED, b"\1")),
        tlv(SEQUENCE),
    ],
)
def test_sync_state_of_another_form(value: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed Sync State Control"):
        wire.sync_state(value)


@pytest.mark.parametrize(
    "value",
    [
        tlv(SET),
        tlv(OCTETS, b"c"),
        tlv(SEQUENCE, TRUE, tlv(OCTETS, b"c")),
        tlv(SEQUENCE, TRUE, TRUE),
        tlv(SEQUENCE, tlv(OCTETS, b"c"), tlv(OCTETS, b"c")),
        tlv(SEQUENCE, tlv(BOOLEAN)),
        tlv(SEQUENCE, tlv(BOOLEAN, b"\xff\xff")),
        tlv(SEQUENCE, tlv(INTEGER, b"\1")),
    ],
)
def test_sync_done_of_another_form(value: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed Sync Done Control"):
        wire.sync_done(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        tlv(0xA0, b"c"),
        tlv(0x81, b"c"),
        tlv(0xA4),
        tlv(SEQUENCE),
        tlv(0xA1, TRUE, tlv(OCTETS, b"c")),
        tlv(0xA2, tlv(BOOLEAN)),
        tlv(0xA3),
        tlv(0xA3, TRUE),
        tlv(0xA3, tlv(SEQUENCE, tlv(OCTETS, UUID))),
        tlv(0xA3, tlv(SET, tlv(SEQUENCE, UUID))),
        tlv(0xA3, tlv(SET, tlv(OCTETS, UUID)), TRUE),
        tlv(0xA3, tlv(SET), tlv(SET)),
    ],
)
def test_sync_info_of_another_form(value: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed Sync Info Message"):
        wire.sync_info(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        tlv(SET, tlv(INTEGER, b"\0"), tlv(OCTETS)),
        tlv(SEQUENCE),
        tlv(SEQUENCE, tlv(INTEGER, b"\0")),
        tlv(SEQUENCE, tlv(OCTETS), tlv(INTEGER, b"\0")),
        tlv(SEQUENCE, tlv(INTEGER, b"\0"), tlv(OCTETS), TRUE),
    ],
)
def test_paged_results_of_another_form(value: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed paged results control"):
        wire.paged_cookie(value)


def test_the_next_page() -> None:
    value = wire.paged_request(7, b"c")
    others = [("1.2.3", 0, b"x"), (wire.SYNC_DONE, 0, None)]
    result = wire.RawResult(ldap.RES_SEARCH_RESULT, [], [*others, (wire.PAGED_RESULTS, 0, value)])
    assert wire.next_page(result) == b"c"
    for controls in (others, []):
        with pytest.raises(ProtocolError, match="without the paged results control"):
            wire.next_page(result._replace(controls=controls))
    with pytest.raises(ProtocolError, match="malformed"):
        wire.next_page(result._replace(controls=[(wire.PAGED_RESULTS, 0, None)]))


def test_an_entry_that_was_found() -> None:
    attrs = {"cn": [b"a", b"b", b"a"], "sn": [b"c"]}
    raw = wire.RawResult(ldap.RES_SEARCH_ENTRY, [("cn=a,dc=x", attrs, [])], [])
    assert wire.search_entry(raw) == ("cn=a,dc=x", {"cn": [b"a", b"b"], "sn": [b"c"]})


@pytest.mark.parametrize("size", [1, 15, 17, 32, 200])
def test_uuid_of_another_length(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"UUID of {size} bytes"):
        wire.sync_state(state(1, bytes(size)))
    with pytest.raises(ProtocolError, match=f"UUID of {size} bytes"):
        wire.sync_info(id_set(UUID, bytes(size)))


@pytest.mark.parametrize("number", [b"\x04", b"\xff", b"\x80", b"\x01\x00", b"\x7f" * 5000])
def test_unknown_state(number: bytes) -> None:
    """Huge ones too: Python refuses to print an int of more than 4,300 digits."""
    with pytest.raises(ProtocolError, match="Sync State Control"):
        wire.sync_state(tlv(SEQUENCE, tlv(ENUMERATED, number), tlv(OCTETS, UUID)))


def test_state_without_content() -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        wire.sync_state(tlv(SEQUENCE, tlv(ENUMERATED), tlv(OCTETS, UUID)))


@pytest.mark.parametrize("length", ["80", "ff", "84ffffffff", "847fffffff", "8800000000ffffffff"])
def test_huge_claimed_and_indefinite_lengths(length: str) -> None:
    claimed = bytes.fromhex(length)
    head = tlv(ENUMERATED, b"\1")
    for decoder, value in (
        (wire.sync_state, b"\x30" + claimed + state(1)[2:]),
        (wire.sync_state, tlv(SEQUENCE, head, b"\x04" + claimed + UUID)),
        (wire.sync_done, tlv(SEQUENCE, b"\x04" + claimed + b"c")),
        (wire.sync_done, tlv(SEQUENCE, b"\x01" + claimed + b"\xff")),
        (wire.sync_info, b"\x80" + claimed + b"c"),
        (wire.sync_info, tlv(0xA3, b"\x31" + claimed + tlv(OCTETS, UUID))),
    ):
        with pytest.raises(ProtocolError, match="malformed"):
            decoder(value)


@pytest.mark.parametrize(
    ("decoder", "value"),
    [
        (wire.sync_done, "3080"),
        (wire.sync_done, "30800000"),
        (wire.sync_done, "30020480"),
        (wire.sync_info, "8080"),
        (wire.sync_info, "a180"),
        (wire.sync_info, "a3023180"),
    ],
)
def test_indefinite_lengths_are_not_ldap(decoder: Decoder, value: str) -> None:
    """RFC 4511, 5.1."""
    with pytest.raises(ProtocolError, match="malformed"):
        decoder(bytes.fromhex(value))


def test_an_element_ends_where_its_container_does() -> None:
    """The inner length reaches into what follows the sequence."""
    inner = tlv(ENUMERATED, b"\1") + tlv(OCTETS, UUID[:-4])[:-12] + UUID[:12]
    with pytest.raises(ProtocolError):
        wire.sync_state(b"\x30" + bytes((len(inner) - 4,)) + inner)


def test_a_big_set() -> None:
    uuids = tuple(number.to_bytes(16, "big") for number in range(100_000))
    assert wire.sync_info(id_set(*uuids)) == IdSet(uuids)


def error_of(decoder: Decoder, value: bytes) -> str:
    """What is wrong with *value*; the beginning of every error where nothing is."""
    try:
        decoder(value)
    except ProtocolError as error:
        return str(error)
    return "the server sent"


@given(st.sampled_from(DECODERS), st.binary(max_size=80))
@example(wire.sync_state, b"\x30\x15\x0a\x01\x01\x04\x10" + UUID)
def test_any_bytes(decoder: Decoder, value: bytes) -> None:
    assert error_of(decoder, value).startswith("the server sent")


@settings(max_examples=400)
@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    decoder, value, _ = data.draw(st.sampled_from(GOOD))
    changed = bytearray(value)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert error_of(decoder, bytes(changed)).startswith("the server sent")


# --- requests


@given(st.sampled_from(SyncreplMode), st.one_of(st.none(), st.binary(max_size=70_000)))
@example(SyncreplMode.REFRESH_ONLY, b"c" * 127)
@example(SyncreplMode.REFRESH_ONLY, b"c" * 128)
@example(SyncreplMode.REFRESH_ONLY, b"c" * 300)
@example(SyncreplMode.REFRESH_ONLY, b"c" * 65536)
def test_sync_request(mode: SyncreplMode, cookie: bytes | None) -> None:
    number = {SyncreplMode.REFRESH_ONLY: 1, SyncreplMode.REFRESH_AND_PERSIST: 3}[mode]
    mode_part = tlv(ENUMERATED, bytes((number,)))
    assert wire.sync_request(mode, cookie) == tlv(SEQUENCE, mode_part, optional(cookie, b""))


@pytest.mark.parametrize(
    ("number", "encoded"), [(1, "3003020101"), (127, "300302017f"), (128, "300402020080"),
                            (2**31 - 1, "300602047fffffff")],
)  # fmt: skip
def test_cancel_request(number: int, encoded: str) -> None:
    assert wire.cancel_request(number).hex() == encoded


@pytest.mark.parametrize(
    ("size", "cookie", "encoded"),
    [
        (1, b"", "30050201010400"),
        (127, b"0", "300602017f040130"),
        (128, b"", "3006020200800400"),
        (1000, b"\2\0", "3008020203e804020200"),
        (2**31 - 1, b"", "300802047fffffff0400"),
    ],
)
def test_paged_request(size: int, cookie: bytes, encoded: str) -> None:
    assert wire.paged_request(size, cookie).hex() == encoded
    assert wire.paged_cookie(wire.paged_request(size, cookie)) == cookie


# --- what python-ldap hands over


def raw(kind: int, data: list[tuple[Any, ...]], *controls: wire.RawControl) -> wire.RawResult:
    return wire.RawResult(kind, data, list(controls))


STATE_CONTROL = (wire.SYNC_STATE, 0, state(1, cookie=b"c"))
OTHER_CONTROL = ("1.2.3", 0, b"x")


def test_entry() -> None:
    attrs = {"cn": [b"a", b"b"], "sn": [b""]}
    got = wire.decode(raw(ldap.RES_SEARCH_ENTRY, [("cn=a", attrs, [OTHER_CONTROL, STATE_CONTROL])]))
    assert got == Entry(State.ADD, UUID, "cn=a", {"cn": [b"a", b"b"], "sn": [b""]}, b"c")


def found_entry(attrs: dict[str, list[bytes]]) -> wire.RawResult:
    return raw(ldap.RES_SEARCH_ENTRY, [("cn=a", attrs, [STATE_CONTROL])])


@pytest.mark.parametrize("decoder", [wire.decode, wire.search_entry])
def test_a_name_that_is_none(decoder: Callable[[wire.RawResult], object]) -> None:
    """LDIF would have a change record of its own behind it."""
    name = "description\n\ndn: cn=victim\nchangetype: delete\n\ndn: cn=a\nx"
    with pytest.raises(ProtocolError) as caught:
        decoder(found_entry({"cn": [b"a"], name: [b"b"]}))
    assert str(caught.value).startswith("the server sent entry 'cn=a' with an attribute called ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("decoder", [wire.decode, wire.search_entry])
def test_an_attribute_without_values(decoder: Callable[[wire.RawResult], object]) -> None:
    """So python-ldap hands over what it can't read, or has no memory for."""
    with pytest.raises(ProtocolError, match="'cn=a' with an attribute 'sn' without values"):
        decoder(found_entry({"cn": [b"a"], "sn": []}))


def test_names_that_users_made_up_are_left_out() -> None:
    entry = found_entry({"cn": [b"a"], "cn;\nx": [b"b"], "sn": [b"c"], "": [b"d"]})
    assert remove_invalid_names(entry.data[0][1]) == ["cn;\nx", ""]
    assert wire.search_entry(entry) == ("cn=a", {"cn": [b"a"], "sn": [b"c"]})
    assert remove_invalid_names(entry.data[0][1]) == []


def test_one_entry_and_no_other() -> None:
    first = wire.only_entry(found_entry({"cn": [b"a"]}), None)
    assert first == ("cn=a", {"cn": [b"a"]})
    with pytest.raises(ProtocolError, match="more than the one entry 'cn=a'"):
        wire.only_entry(found_entry({"cn": [b"a"]}), first)


def test_values_that_come_twice() -> None:
    attrs = {"cn": [b"b", b"a", b"b", b"a", b"c"]}
    got = wire.decode(raw(ldap.RES_SEARCH_ENTRY, [("cn=a", attrs, [STATE_CONTROL])]))
    assert isinstance(got, Entry)
    assert got.attrs == {"cn": [b"b", b"a", b"c"]}


def test_reference() -> None:
    urls = ["ldap://h/dc=x", "ldap://i/dc=x"]
    got = wire.decode(raw(ldap.RES_SEARCH_REFERENCE, [(None, urls, [STATE_CONTROL])]))
    assert got == Reference(State.ADD, UUID, tuple(urls), b"c")


WITHOUT_VALUE = (wire.SYNC_STATE, 0, None)


@pytest.mark.parametrize("controls", [[], [OTHER_CONTROL], [WITHOUT_VALUE]])
def test_an_entry_without_its_sync_state(controls: list[wire.RawControl]) -> None:
    with pytest.raises(ProtocolError, match="Sync State"):
        wire.decode(raw(ldap.RES_SEARCH_ENTRY, [("cn=a", {}, controls)]))


def test_a_reference_without_its_sync_state_is_not_followed() -> None:
    for controls in ([], [OTHER_CONTROL]):
        got = wire.decode(raw(ldap.RES_SEARCH_REFERENCE, [(None, ["ldap://h/"], controls)]))
        assert got is None
    with pytest.raises(ProtocolError, match="Sync State"):
        wire.decode(raw(ldap.RES_SEARCH_REFERENCE, [(None, ["ldap://h/"], [WITHOUT_VALUE])]))


def test_intermediate_response() -> None:
    value = id_set(UUID)
    assert wire.decode(raw(ldap.RES_INTERMEDIATE, [(wire.SYNC_INFO, value, [])])) == IdSet((UUID,))
    assert wire.decode(raw(ldap.RES_INTERMEDIATE, [("1.2.3", value, [])])) is None
    with pytest.raises(ProtocolError, match="empty"):
        wire.decode(raw(ldap.RES_INTERMEDIATE, [(wire.SYNC_INFO, None, [])]))


def test_done() -> None:
    control = (wire.SYNC_DONE, 0, tlv(SEQUENCE, TRUE))
    assert wire.decode(raw(ldap.RES_SEARCH_RESULT, [], OTHER_CONTROL, control)) == Done(
        SyncDone(True)
    )
    assert wire.decode(raw(ldap.RES_SEARCH_RESULT, [])) == Done(None)
    with pytest.raises(ProtocolError, match="Sync Done"):
        wire.decode(raw(ldap.RES_SEARCH_RESULT, [], (wire.SYNC_DONE, 0, None)))


def test_a_message_of_no_search() -> None:
    with pytest.raises(ProtocolError, match="0x61"):
        wire.decode(raw(ldap.RES_BIND, []))


def failed(kind: type[ldap.LDAPError], result: int, **more: Any) -> ldap.LDAPError:
    return kind({"msgtype": ldap.RES_SEARCH_RESULT, "result": result, **more})


def test_refresh_required() -> None:
    assert wire.decode_error(failed(ldap.LDAPError, 4096)) == RefreshRequired()


NEWER = "consumer state is newer than provider!"


def test_a_refused_cookie() -> None:
    error = failed(ldap.UNWILLING_TO_PERFORM, 53, info=NEWER)
    message = wire.decode_error(error, OPENLDAP.refusal)
    assert message is not None
    assert "restored from a backup" in str(message.reason)
    assert NEWER in str(message.reason)


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (failed(ldap.UNWILLING_TO_PERFORM, 53, info=NEWER), None),
        (failed(ldap.UNWILLING_TO_PERFORM, 53, info=NEWER), DS389.refusal),
        (failed(ldap.UNWILLING_TO_PERFORM, 53, info=NEWER), OTHER.refusal),
        (failed(ldap.UNWILLING_TO_PERFORM, 53, info="something else"), OPENLDAP.refusal),
        (failed(ldap.UNWILLING_TO_PERFORM, 53), OPENLDAP.refusal),
        (failed(ldap.BUSY, 51, info=NEWER), OPENLDAP.refusal),
        (
            ldap.UNWILLING_TO_PERFORM({"msgtype": ldap.RES_BIND, "result": 53, "info": NEWER}),
            OPENLDAP.refusal,
        ),
    ],
)
def test_what_refuses_no_cookie(error: ldap.LDAPError, refusal: Refusal | None) -> None:
    assert wire.decode_error(error, refusal) is None


@pytest.mark.parametrize(
    "error",
    [
        failed(ldap.BUSY, 51),
        failed(ldap.SIZELIMIT_EXCEEDED, 4),
        # RFC 4533, 3.7: a cookie may come with it; it ends no refresh all the same.
        failed(ldap.CANCELLED, 118, ctrls=[(wire.SYNC_DONE, 0, bytes.fromhex("3000"))]),
        ldap.SERVER_DOWN({"result": -1, "desc": "Can't contact LDAP server"}),
        ldap.LDAPError({"msgtype": ldap.RES_BIND, "result": 4096}),
        ldap.LDAPError({"result": 4096}),
        ldap.LDAPError("text", 4096),
        ldap.LDAPError(),
    ],
)
def test_errors_are_errors(error: ldap.LDAPError) -> None:
    assert wire.decode_error(error) is None


@given(
    st.one_of(st.none(), st.binary(max_size=130)),
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(0, 160), st.integers(0, 255)), max_size=2),
    st.integers(0, 2),
)
def test_the_short_way_through_a_sync_state_leads_to_the_same(
    cookie: bytes | None, number: int, changes: list[tuple[int, int]], cut: int
) -> None:
    value = bytearray(state(number, cookie=cookie))
    for place, octet in changes:
        if place < len(value):
            value[place] = octet
    sent = bytes(value[: len(value) - cut])

    def decoded() -> object:
        try:
            return wire.sync_state(sent)
        except ProtocolError as error:
            return str(error)

    short = decoded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "_PLAIN_UUID", b"no")
        assert decoded() == short


def test_an_entry_without_entryuuid() -> None:
    controls = [(wire.SYNC_STATE, 0, b"\x30\x05\x0a\x01\x01\x04\x00")]
    raw = wire.RawResult(ldap.RES_SEARCH_ENTRY, [("cn=accesslog", {}, controls)], [])
    with pytest.raises(ProtocolError, match=r"no entryUUID.*'lastmod on'.* \(at 'cn=accesslog'\)"):
        wire.decode(raw)
