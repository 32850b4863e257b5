# SPDX-License-Identifier: BSD-3-Clause
"""What real servers can't be made to send: nothing of it may reach the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import ldap
import pytest

from syncrepl_client import Syncrepl, SyncreplMode, exceptions
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, follow, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import scripted
from tests.servers.scripted import (
    ADD,
    DELETE,
    PRESENT,
    REFRESH_REQUIRED,
    SYNC_INFO,
    SYNC_STATE,
    UNWILLING,
    Close,
    Item,
    Provider,
    Raw,
    bare_entry,
    control,
    done,
    entry,
    idset,
    intermediate,
    newcookie,
    octets,
    person,
    reference,
    refresh_delete,
    refresh_present,
    tlv,
    uuid,
)

pytestmark = pytest.mark.usefixtures("watchdog")

OLD_PYTHON_LDAP = tuple(map(int, ldap.__version__.split(".")[:3])) < (3, 4, 8)
crashes_old_python_ldap = pytest.mark.skipif(
    OLD_PYTHON_LDAP, reason="python-ldap before 3.4.8 ends the process"
)

DN = scripted.dn(3)
NAMES = {value: scripted.dn(value) for value in range(1, 8)}


def with_state(value: bytes | None) -> Item:
    return bare_entry(DN, {"uid": ["u3"]}, control(SYNC_STATE, value))


def info(value: bytes | None) -> Item:
    return intermediate(SYNC_INFO, value)


STATE = scripted.sync_state(ADD, uuid(3))


def with_list(*attributes: bytes) -> Item:
    """An entry with a list of attributes that is made by hand."""
    uid = tlv(0x30, octets("uid"), tlv(0x31, octets("u3")))
    return scripted.Message(
        tlv(0x64, octets(DN), tlv(0x30, uid, *attributes)), control(SYNC_STATE, STATE)
    )


# Whoever writes this as LDIF without looking deletes, adds, and reads a local file.
SMUGGLED = (
    f"description: x\n\ndn: {scripted.dn(1)}\nchangetype: delete\n\ndn: uid=evil,dc=x\n"
    "changetype: add\nuserPassword:< file:///etc/hostname\nsn"
)
WITHOUT_VALUES = f"'{DN}' with an attribute 'mail' without values"

# Wrong in every stage: the item, and what the error says.
MALFORMED = {
    "control truncated": (with_state(STATE[:-3]), "malformed Sync State Control: truncated"),
    "control empty": (with_state(b""), "malformed Sync State Control"),
    "control without value": (with_state(None), "malformed Sync State Control"),
    "control with a tail": (with_state(STATE + b"\4\0"), "malformed Sync State Control"),
    "control of another type": (with_state(b"\4\2ab"), "malformed Sync State Control: tag 0x04"),
    "length of 127 bytes": (with_state(b"\x30\xff" + STATE), "malformed .*: bad length"),
    "uuid too short": (entry(DN, {}, ADD, b"short"), "malformed .*: a UUID of 5 bytes"),
    "uuid too long": (entry(DN, {}, ADD, bytes(17)), "malformed .*: a UUID of 17 bytes"),
    "uuid too long, reference": (reference(["ldap://x"], ADD, bytes(17)), "UUID of 17 bytes"),
    "unknown state": (entry(DN, {}, 4, uuid(3)), "unknown state 4"),
    "negative state": (entry(DN, {}, -1, uuid(3)), "unknown state"),
    "entry without control": (bare_entry(DN, {}), f"'{DN}' without its Sync State Control"),
    "entry with another control": (
        bare_entry(DN, {}, control("1.2.3", STATE)),
        "without its Sync State Control",
    ),
    "info without value": (info(None), "malformed Sync Info Message: empty"),
    "info empty": (info(b""), "malformed Sync Info Message: empty"),
    "info unknown": (info(b"\xa4\0"), "malformed Sync Info Message: unknown choice 0xa4"),
    "info truncated": (info(b"\xa1\x05\x04\x09ab"), "malformed Sync Info Message: truncated"),
    "info with a tail": (info(b"\x80\x01a\x80\x01b"), "malformed Sync Info Message"),
    "set with a short uuid": (idset([uuid(1), b"short"], True), "a UUID of 5 bytes"),
    "set of integers": (info(tlv(0xA3, tlv(0x31, b"\2\1\1"))), "malformed Sync Info Message: tag"),
    "boolean of two bytes": (info(tlv(0xA1, b"\1\2\0\0")), "malformed .*: bad BOOLEAN"),
    "dn is none": (entry("nonsense", {}, ADD, uuid(3)), "DN is (none|not a DN).*nonsense"),
    "dn half": (entry("uid=a,,dc=x", {}, ADD, uuid(3)), "DN is (none|not a DN)"),
    "dn not utf-8": (entry(b"uid=\xff,dc=example,dc=com", {}, ADD, uuid(3)), "not UTF-8"),
    "dn with nul": (entry(b"uid=a\0b,dc=x", {}, ADD, uuid(3)), "not LDAP"),
    "name with line breaks": (
        entry(DN, {SMUGGLED: ["x"]}, ADD, uuid(3)),
        rf"'{DN}' with an attribute called 'description: x\\n",
    ),
    "option with a line break": (
        entry(DN, {"cn;\nx": ["x"]}, ADD, uuid(3)),
        rf"'{DN}' with an attribute called 'cn;\\nx'",
    ),
    "name empty": (entry(DN, {"": ["x"]}, ADD, uuid(3)), f"'{DN}' with an attribute called ''"),
    "no values": (entry(DN, {"mail": []}, ADD, uuid(3)), WITHOUT_VALUES),
    "value longer than what holds it": (
        with_list(tlv(0x30, octets("mail"), tlv(0x31, b"\x04\x7fab"))),
        f"{WITHOUT_VALUES}|not LDAP",  # patches/0009 lets python-ldap say so
    ),
    "value of 2 GB": (
        with_list(tlv(0x30, octets("mail"), tlv(0x31, b"\x04\x84\x7f\xff\xff\xffab"))),
        f"{WITHOUT_VALUES}|not LDAP",
    ),
    "entry garbage": (scripted.Message(tlv(0x64, b"\x04\x7fab")), "not LDAP"),
    "entry empty": (scripted.Message(tlv(0x64)), "not LDAP"),
    "result empty": (scripted.Message(tlv(0x65)), "not LDAP"),
    "extended response": (scripted.Message(scripted.result(0x78, 0)), "type 0x78"),
}
STAGES = pytest.mark.parametrize("stage", ["initial", "resumed", "persist"])


class Scene(NamedTuple):
    """Where the fault comes: what precedes it, and what a new client must then send."""

    before: list[Item]
    cookie: bytes | None


def prepare(stage: str, data_path: Path) -> Scene:
    """Have a store with u1 and u2, unless this is about the initial refresh."""
    if stage == "initial":
        return Scene([person(1), person(2)], None)
    script = [person(1), person(2), done(deletes=True, cookie=b"c1")]
    with (
        Provider(script) as provider,
        follow(provider, data_path, Recorder(), REFRESH_ONLY) as client,
    ):
        client.run()
    if stage == "resumed":
        return Scene([person(1, "new"), idset([uuid(2)], deletes=True, cookie=b"c2")], b"c1")
    return Scene([refresh_delete(b"c3")], b"c3")


def meet(
    data_path: Path, script: Sequence[Item], error: type[Exception], text: str | None = None
) -> Recorder:
    """Let a client meet *script*, which ends in *error*: the store stays as it is."""
    recorder = Recorder()
    with Provider(script) as provider, follow(provider, data_path, recorder) as client:
        before = contents(client)
        recorder.mirror = dict(before)
        with pytest.raises(error, match=text) as raised:
            client.run()
        assert raised.type is error
        assert not client.poll(0)
        assert not client.store.in_transaction
        assert contents(client) == before
    return recorder


def resume(data_path: Path, cookie: bytes | None) -> None:
    """See that a new client sends *cookie*, and completes its store."""
    recorder = Recorder()
    with Provider([person(1, "last"), person(5), done(deletes=True, cookie=b"c9")]) as provider:
        with follow(provider, data_path, recorder, REFRESH_ONLY) as client:
            recorder.mirror = contents(client)
            client.run()
            assert contents(client) == recorder.mirror
        [search] = provider.searches
    assert search.cookie == cookie
    assert search.critical
    assert ("add", NAMES[5]) in recorder.changes
    assert recorder.mirror[NAMES[1]]["description"] == [b"last"]
    assert (NAMES[2] in recorder.mirror) == (cookie is not None)


@STAGES
@pytest.mark.parametrize("what", MALFORMED)
def test_it_ends_the_session_and_changes_nothing(what: str, stage: str, tmp_path: Path) -> None:
    item, text = MALFORMED[what]
    scene = prepare(stage, tmp_path)
    meet(tmp_path, [*scene.before, item], exceptions.ProtocolError, text)
    resume(tmp_path, scene.cookie)


@crashes_old_python_ldap
@STAGES
@pytest.mark.parametrize(
    "item",
    [
        scripted.Message(
            tlv(0x64, octets(DN), tlv(0x30, tlv(0x30, octets(b"\xff"), tlv(0x31)))),
            control(SYNC_STATE, STATE),
        ),
        reference([b"ldap://\xff"], ADD, uuid(3)),
    ],
    ids=["attribute name", "url"],
)
def test_names_that_are_not_utf8(item: Item, stage: str, tmp_path: Path) -> None:
    scene = prepare(stage, tmp_path)
    meet(tmp_path, [*scene.before, item], exceptions.ProtocolError, "not UTF-8")
    resume(tmp_path, scene.cookie)


@STAGES
@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x84\xff\xff\xff\xff", bytes(64)],
    ids=["http", "4 GB", "zeros"],
)
def test_garbage_ends_the_connection(data: bytes, stage: str, tmp_path: Path) -> None:
    # libldap drops the connection, and doesn't say why.
    scene = prepare(stage, tmp_path)
    meet(tmp_path, [*scene.before, Raw(data), Close()], ldap.SERVER_DOWN)
    resume(tmp_path, scene.cookie)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (person(1, state=PRESENT), "present in the persist stage"),
        (idset([uuid(1)]), "present in the persist stage"),
        (idset([]), "present in the persist stage"),
        (reference([], PRESENT, uuid(3)), "present in the persist stage"),
        (refresh_present(b"c4"), "refreshDone in the persist stage"),
        (refresh_delete(b"c4"), "refreshDone in the persist stage"),
        (refresh_delete(b"c4", done=False), "refreshDelete in the persist stage"),
    ],
)
def test_refresh_messages_in_the_persist_stage(item: Item, text: str, tmp_path: Path) -> None:
    scene = prepare("persist", tmp_path)
    meet(tmp_path, [*scene.before, item], exceptions.ProtocolError, text)
    resume(tmp_path, scene.cookie)


@pytest.mark.parametrize("stage", ["initial", "resumed"])
@pytest.mark.parametrize(
    ("end", "text"),
    [
        (done(sync_done=False), "without a Sync Done Control"),
        (
            scripted.Message(scripted.result(0x65, 0), control("1.2.3", b"x")),
            "without a Sync Done Control",
        ),
        (
            scripted.Message(scripted.result(0x65, 0), control(scripted.SYNC_DONE, b"\x30\5\4")),
            "malformed Sync Done Control: truncated",
        ),
        (
            scripted.Message(scripted.result(0x65, 0), control(scripted.SYNC_DONE, None)),
            "malformed Sync Done Control",
        ),
    ],
    ids=["none", "another", "truncated", "empty"],
)
def test_sync_done_is_missing_or_malformed(
    end: Item, text: str, stage: str, tmp_path: Path
) -> None:
    scene = prepare(stage, tmp_path)
    meet(tmp_path, [*scene.before, end], exceptions.ProtocolError, text)
    resume(tmp_path, scene.cookie)


def test_present_after_the_delete_phase_began(tmp_path: Path) -> None:
    prepare("resumed", tmp_path)
    script = [person(2, state=DELETE), idset([uuid(1)]), done(cookie=b"c2")]
    text = "present in the delete phase"
    meet(tmp_path, script, exceptions.ProtocolError, text)
    resume(tmp_path, b"c1")


def test_present_names_what_was_never_sent(tmp_path: Path) -> None:
    script = [person(1), idset([uuid(7)]), done(cookie=b"c1")]
    meet(tmp_path, script, exceptions.ProtocolError, "never sent")
    resume(tmp_path, None)


@STAGES
def test_what_is_not_ours_is_ignored(stage: str, tmp_path: Path) -> None:
    scene = prepare(stage, tmp_path)
    foreign: list[Item] = [
        intermediate("1.2.3.4", b"\xff\xff"),
        intermediate("1.2.3.4", None),
        Raw(scripted.envelope(4711, entry(DN, {}).operation)),  # of another search
    ]
    end: list[Item] = [newcookie(b"c8")] if stage == "persist" else [refresh_delete(b"c8")]
    recorder = Recorder()
    with (
        Provider([*scene.before, *foreign, *end]) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        recorder.mirror = contents(client)
        while ("cookie", b"c8") not in recorder.heard:
            assert client.poll(10)
        assert contents(client) == recorder.mirror
        assert DN not in recorder.mirror


# --- error results

ERRORS = {
    "time limit": (3, ldap.TIMELIMIT_EXCEEDED),
    "size limit": (4, ldap.SIZELIMIT_EXCEEDED),
    "unavailable critical extension": (12, exceptions.SyncUnsupported),
    "no such object": (32, ldap.NO_SUCH_OBJECT),
    "insufficient access": (50, ldap.INSUFFICIENT_ACCESS),
    "busy": (51, ldap.BUSY),
    "unavailable": (52, ldap.UNAVAILABLE),
    "unwilling": (53, ldap.UNWILLING_TO_PERFORM),
    "other": (80, ldap.OTHER),
    "unheard of": (4711, ldap.LDAPError),
}
CONTROLS = pytest.mark.parametrize(
    "deletes", [None, False], ids=["no control", "refreshDeletes FALSE"]
)


def failed(code: int, deletes: bool | None) -> Item:
    return done(code, bool(deletes), b"c7", sync_done=deletes is not None, text="so there")


@STAGES
@CONTROLS
@pytest.mark.parametrize("what", ERRORS)
def test_an_error_result_prunes_nothing(
    what: str, deletes: bool | None, stage: str, tmp_path: Path
) -> None:
    code, error = ERRORS[what]
    scene = prepare(stage, tmp_path)
    recorder = meet(tmp_path, [*scene.before, failed(code, deletes)], error)
    assert not recorder.of("delete")
    resume(tmp_path, scene.cookie)


def test_an_error_result_says_what_the_server_said(tmp_path: Path) -> None:
    meet(tmp_path, [failed(53, None)], ldap.UNWILLING_TO_PERFORM, "so there")


def test_an_unavailable_extension_says_what_to_do(tmp_path: Path) -> None:
    meet(tmp_path, [failed(12, None)], exceptions.SyncUnsupported, "overlay syncprov")


@STAGES
@pytest.mark.parametrize("end", [Close(), scripted.notice(52)], ids=["closed", "notice"])
def test_a_lost_connection_prunes_nothing(end: Item, stage: str, tmp_path: Path) -> None:
    scene = prepare(stage, tmp_path)
    error = ldap.SERVER_DOWN if isinstance(end, Close) else ldap.UNAVAILABLE
    recorder = meet(tmp_path, [*scene.before, end], error)
    assert not recorder.of("delete")
    resume(tmp_path, scene.cookie)


# --- e-syncRefreshRequired


REQUIRED = pytest.mark.parametrize(
    "required",
    [
        done(REFRESH_REQUIRED, sync_done=False),
        done(REFRESH_REQUIRED, deletes=False, cookie=None),
        done(REFRESH_REQUIRED, deletes=False, cookie=b"c7"),
        done(REFRESH_REQUIRED, deletes=True, cookie=b"c7"),
    ],
    ids=["no control", "no cookie", "cookie", "cookie, deletes"],
)
KINDS = pytest.mark.parametrize("kind", ["openldap", "389", "other"])


@REQUIRED
@KINDS
@pytest.mark.parametrize("sent", [[], [person(1, "new"), idset([uuid(2)], deletes=True)]])
def test_refresh_required_on_resume(
    sent: list[Item], kind: str, required: Item, tmp_path: Path
) -> None:
    first = [person(1), person(2), person(3), done(deletes=kind == "openldap", cookie=b"c1")]
    again = [person(1, "new"), person(2), person(4), refresh_delete(b"c9")]
    recorder = Recorder()
    with Provider(first, [*sent, required], again, kind=kind) as provider:
        with follow(provider, tmp_path, recorder, REFRESH_ONLY) as client:
            client.run()
        recorder.clear()
        with follow(provider, tmp_path, recorder) as client:
            poll_until(client, recorder, "refresh_done")
            assert contents(client) == recorder.mirror
        assert [search.cookie for search in provider.searches] == [None, b"c1", None]
    assert sorted(recorder.changes) == [
        ("add", NAMES[4]),
        ("change", NAMES[1]),
        ("delete", NAMES[3]),
    ]
    assert recorder.kinds.count("refresh_done") == 1
    assert ("cookie", b"c9") in recorder.heard
    assert ("cookie", b"c7") not in recorder.heard


@REQUIRED
@KINDS
def test_refresh_required_in_mid_persist(kind: str, required: Item, tmp_path: Path) -> None:
    first = [person(1), person(2), refresh_delete(b"c1"), person(3, "new", ADD, b"c2"), required]
    again = [person(1, "new"), person(3, "new"), refresh_delete(b"c9")]
    recorder = Recorder()
    with Provider(first, again, kind=kind) as provider:
        with follow(provider, tmp_path, recorder) as client:
            poll_until(client, recorder, "refresh_done", 2)
            assert contents(client) == recorder.mirror
        assert [search.cookie for search in provider.searches] == [None, None]
    assert recorder.changes == [
        ("add", NAMES[1]),
        ("add", NAMES[2]),
        ("add", NAMES[3]),
        ("change", NAMES[1]),
        ("delete", NAMES[2]),
    ]


@REQUIRED
def test_refresh_required_without_end(required: Item, tmp_path: Path) -> None:
    prepare("resumed", tmp_path)
    with Provider([required], [required]) as provider:
        with follow(provider, tmp_path, Recorder()) as client:
            before = contents(client)
            with pytest.raises(exceptions.ProtocolError, match="4096"):
                client.run()
            assert not client.poll(0)
            assert contents(client) == before
        assert [search.cookie for search in provider.searches] == [b"c1", None]
    resume(tmp_path, None)


# --- a cookie that is newer than the server

NEWER = done(UNWILLING, sync_done=False, text="consumer state is newer than provider!")
MODES = pytest.mark.parametrize("mode", [REFRESH_ONLY, PERSIST])


@MODES
def test_a_server_put_back_in_time(
    mode: SyncreplMode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare("resumed", tmp_path)
    recorder = Recorder()
    with (
        Provider([NEWER], [person(1, "older"), person(3), refresh_delete(b"c0")]) as provider,
        follow(provider, tmp_path, recorder, mode, lag_patience=0) as client,
    ):
        recorder.mirror = contents(client)
        while client.poll(10) and not recorder.of("refresh_done"):
            pass
        assert contents(client) == recorder.mirror
        assert client.store.origin.cookie == b"c0"
        assert [search.cookie for search in provider.searches] == [b"c1", None]
    assert recorder.changes == [("change", NAMES[1]), ("add", NAMES[3]), ("delete", NAMES[2])]
    (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "restored from a backup" in warning.getMessage()


def test_a_cookie_that_is_newer_is_given_up_for_good(tmp_path: Path) -> None:
    """The server takes it again after its next write, and tells of no delete before that."""
    prepare("resumed", tmp_path)
    with (
        Provider([NEWER], [person(1), Close()]) as provider,
        follow(provider, tmp_path, Recorder(), lag_patience=0) as client,
        pytest.raises(ldap.SERVER_DOWN),
    ):
        client.run()
    resume(tmp_path, None)


@pytest.mark.parametrize("kind", ["389", "other"])
def test_other_servers_may_be_unwilling(kind: str, tmp_path: Path) -> None:
    first = [person(1), done(cookie=b"c1")]
    with Provider(first, [NEWER], kind=kind) as provider:
        with follow(provider, tmp_path, Recorder(), REFRESH_ONLY) as client:
            client.run()
        with (
            follow(provider, tmp_path, Recorder(), REFRESH_ONLY) as client,
            pytest.raises(ldap.UNWILLING_TO_PERFORM),
        ):
            client.run()
        assert [search.cookie for search in provider.searches] == [None, b"c1"]


def test_without_a_cookie_no_cookie_is_refused(tmp_path: Path) -> None:
    with (
        Provider([NEWER]) as provider,
        follow(provider, tmp_path, Recorder()) as client,
        pytest.raises(ldap.UNWILLING_TO_PERFORM),
    ):
        client.run()


# --- a refresh that can't be trusted alone


@pytest.mark.parametrize(("kind", "asked"), [("openldap", 3), ("389", 1), ("other", 1)])
def test_refresh_only_is_asked_for_where_it_holds(kind: str, asked: int, tmp_path: Path) -> None:
    """OpenLDAP leaves out of a refreshOnly what changes meanwhile; it seems deleted then."""
    end = refresh_delete(b"c1") if asked == 3 else done(cookie=b"c1")
    recorder = Recorder()
    with (
        Provider([person(1), end, person(2)], kind=kind) as provider,
        follow(provider, tmp_path, recorder, REFRESH_ONLY) as client,
    ):
        client.run()
        assert client.store.origin.cookie == b"c1"
        assert not client.poll(0)
        assert [search.mode for search in provider.searches] == [asked]
        if asked == 3:
            provider.heard.wait("abandon")
    assert recorder.changes == [("add", NAMES[1])]
    assert recorder.kinds.count("refresh_done") == 1


def test_an_interrupted_start_over_is_taken_up_again(tmp_path: Path) -> None:
    """The search without a cookie broke: the next one is without a cookie, too."""
    prepare("resumed", tmp_path)
    recorder = Recorder()
    with (
        Provider([done(REFRESH_REQUIRED)], [person(1, "new"), Close()]) as provider,
        follow(provider, tmp_path, recorder) as client,
    ):
        recorder.mirror = contents(client)
        with pytest.raises(ldap.SERVER_DOWN):
            client.run()
    assert not recorder.of("delete")
    resume(tmp_path, None)


@pytest.mark.parametrize("mode", [REFRESH_ONLY, PERSIST])
@pytest.mark.parametrize("cookie", [b"c1", b"\0\xff,csn=\x80", bytes(range(256))])
def test_what_is_sent(mode: SyncreplMode, cookie: bytes, tmp_path: Path) -> None:
    with Provider([done(deletes=True, cookie=cookie)], [], kind="other") as provider:
        url = f"{provider.url}/ou=A%20B,dc=example,dc=com?cn,+?one?(&(a=b)(c=d))"
        with Syncrepl(f"{tmp_path}/", Recorder(), REFRESH_ONLY, url) as client:
            client.run()
        Syncrepl(f"{tmp_path}/", Recorder(), mode).unbind()
        provider.heard.wait("unbind", 2)
        first, second = provider.searches
    assert (first.mode, first.cookie) == (1, None)
    assert (second.mode, second.cookie) == (mode.value, cookie)
    assert replace(first, mode=0, cookie=None) == replace(second, mode=0, cookie=None)
    assert (first.base, first.scope, first.deref) == ("ou=A B,dc=example,dc=com", 1, 0)
    assert first.filter == tlv(0xA0, *(tlv(0xA3, octets(a), octets(b)) for a, b in ("ab", "cd")))
    assert (first.attributes, first.critical, first.reload_hint) == (("cn", "+"), True, False)


def test_a_cookie_goes_to_its_own_kind_of_server_only(tmp_path: Path) -> None:
    recorder = Recorder()
    for kind, cookie in (("openldap", b"c1"), ("389", b"c2"), ("389", b"c3"), ("other", b"c4")):
        script = [person(1), done(cookie=cookie)]
        with Provider(script, kind=kind) as provider:
            with follow(provider, tmp_path, recorder, REFRESH_ONLY) as client:
                client.run()
            assert provider.searches[0].cookie == (b"c2" if cookie == b"c3" else None)
    assert recorder.changes == [("add", NAMES[1])]
