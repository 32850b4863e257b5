# SPDX-License-Identifier: BSD-3-Clause
"""LDIF change records: what is written for which change."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import ldif
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client import Change, ChangeKind, LDIFCallback
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.exceptions import StoreInvalid
from tests.unit.changes import ANN, Flushed, add, change, modify, rename


def written(*changes: Change | None, **options: Any) -> str:
    """What is written of these changes, without the version; None: a commit."""
    stream = io.StringIO()
    callback = LDIFCallback(stream, **options)
    for each in changes:
        if each is None:
            callback.before_commit()
        else:
            callback.dispatch(each)
    text = stream.getvalue()
    assert text.count("version: 1\n\n") == bool(text)
    assert not text or text.endswith("\n\n")
    return text.removeprefix("version: 1\n\n")


def test_add() -> None:
    attrs = {"uid": [b"ann"], "cn": ["Änne".encode(), b" x"], "entryUUID": [b"1"]}
    assert written(add("uid=ann,o=x", attrs)) == (
        "dn: uid=ann,o=x\nchangetype: add\nuid: ann\ncn:: w4RubmU=\ncn:: IHg=\n\n"
    )


def test_modify() -> None:
    old = {"a": [b"1"], "b": [b"1"], "d": [b"1", b"2"], "entryCSN": [b"1"]}
    new = {"a": [b"2", b"1"], "c": [b"1"], "D": [b"2", b"1"], "entryCSN": [b"2"]}
    assert written(modify("uid=ann,o=x", old, new)) == (
        "dn: uid=ann,o=x\nchangetype: modify\n"
        "replace: a\na: 1\na: 2\n-\nreplace: b\n-\nreplace: c\nc: 1\n-\n\n"
    )


def test_delete() -> None:
    gone = change(ChangeKind.DELETE, "uid=ann,o=ü", None, ANN)
    assert written(gone) == "dn:: dWlkPWFubixvPcO8\nchangetype: delete\n\n"


SMUGGLED = "description: x\n\ndn: o=victim\nchangetype: delete\n\ndn: o=y\nx"


@pytest.mark.parametrize("name", [SMUGGLED, "jpegPhoto:< file:///etc/passwd", "x\n-\nadd", ""])
def test_names_that_are_none_are_not_written(name: str) -> None:
    """An older version may have stored them."""
    stored, new = {"uid": [b"ann"], name: [b"x"]}, {"uid": [b"ann"]}
    for each in (
        add("uid=ann,o=x", stored),
        modify("uid=ann,o=x", new, stored),
        modify("uid=ann,o=x", stored, new),
        rename("uid=ann,o=x", "uid=ann,o=y", new, stored),
    ):
        stream = io.StringIO()
        with pytest.raises(StoreInvalid, match="no LDIF can be written of 'uid=ann,o="):
            LDIFCallback(stream).dispatch(each)
        assert stream.getvalue() == ""


def test_what_is_not_written() -> None:
    assert (
        written(
            change(ChangeKind.REFERENCE, new={"ref": [b"ldap://a/"]}),
            modify("uid=ann,o=x", {"entryCSN": [b"1"]}, {"entryCSN": [b"2"]}),
            add("uid=ann,o=x", {}),
            add("uid=ann,o=x", {"entryCSN": [b"1"]}),
            None,
        )
        == ""
    )


def test_what_is_left_out_is_up_to_you() -> None:
    entry = add("o=x", {"o": [b"x"], "entryUUID": [b"1"]})
    assert written(entry, leave_out=()) == "dn: o=x\nchangetype: add\no: x\nentryUUID: 1\n\n"
    assert written(entry, leave_out=["O"]) == "dn: o=x\nchangetype: add\nentryUUID: 1\n\n"
    csn = modify("o=x", {"entryCSN": [b"1"]}, {"entryCSN": [b"2"]})
    assert "replace: entryCSN\nentryCSN: 2\n-\n" in written(csn, leave_out=())


# --- renames


@pytest.mark.parametrize(
    ("old_dn", "new_dn", "new", "expected"),
    [
        ("uid=ann,o=x", "uid=eve,o=x", {"uid": [b"eve"], "sn": [b"a"]}, ["uid=eve", "1"]),
        ("uid=ann,o=x", "uid=eve,o=x", {"uid": [b"ann", b"eve"], "sn": [b"a"]}, ["uid=eve", "0"]),
        ("uid=ann,o=x", "uid=ann,o=y", ANN, ["uid=ann", "0", "o=y"]),
        ("uid=ann,o=x", "uid=eve,o=y", {"uid": [b"eve"], "sn": [b"a"]}, ["uid=eve", "1", "o=y"]),
        ("uid=ann,o=x", "sn=a,o=x", {"sn": [b"a"]}, ["sn=a", "1"]),
        ("uid=ann,o=x", "sn=a,o=x", ANN, ["sn=a", "0"]),
        ("uid=ann,o=x", "uid=ann+sn=a,o=x", ANN, ["uid=ann+sn=a", "0"]),
        ("uid=ann,o=x", "UID=Ann,O=X", ANN, ["UID=Ann", "0"]),
        ("uid=a\\,b,o=x", "uid=ann,o=x\\,y,o=x", ANN, ["uid=ann", "1", "o=x\\,y,o=x"]),
        # Not asked for, so not seen: what the server does with them is right.
        ("cn=ann,o=x", "cn=eve,o=x", ANN, ["cn=eve", "1"]),
    ],
)
def test_rename(old_dn: str, new_dn: str, new: Attributes, expected: list[str]) -> None:
    rdn, delete, *superior = expected
    lines = [f"dn: {old_dn}", "changetype: modrdn", f"newrdn: {rdn}", f"deleteoldrdn: {delete}"]
    lines += [f"newsuperior: {dn}" for dn in superior]
    assert written(rename(old_dn, new_dn, ANN, new)) == "\n".join([*lines, "", ""])


@pytest.mark.parametrize(
    ("new_dn", "new", "replaced"),
    [
        ("uid=eve,o=x", {"uid": [b"eve"], "sn": [b"b"]}, "replace: sn\nsn: b\n-\n"),
        ("uid=eve,o=x", {"uid": [b"eve"]}, "replace: sn\n-\n"),
        (
            "uid=eve,o=x",
            {"uid": [b"eve", b"z"], "sn": [b"a"]},
            "replace: uid\nuid: eve\nuid: z\n-\n",
        ),
        ("uid=Eve,o=x", {"uid": [b"eve"], "sn": [b"a"]}, "replace: uid\nuid: eve\n-\n"),
        ("uid=Ann,o=x", {"uid": [b"Ann"], "sn": [b"a"]}, "replace: uid\nuid: Ann\n-\n"),
    ],
)
def test_rename_and_more(new_dn: str, new: Attributes, replaced: str) -> None:
    text = written(rename("uid=ann,o=x", new_dn, ANN, new))
    renamed, _, modified = text.partition("\n\n")
    assert "changetype: modrdn\n" in renamed
    assert modified == f"dn: {new_dn}\nchangetype: modify\n{replaced}\n"


def test_the_naming_attribute_comes_later() -> None:
    """A server may tell of the new DN first, and of the new values then."""
    text = written(
        rename("uid=ann,o=x", "uid=eve,o=x"),
        modify("uid=eve,o=x", ANN, {"uid": [b"eve"], "sn": [b"a"]}),
    )
    renamed, _, modified = text.partition("\n\n")
    assert renamed.endswith("newrdn: uid=eve\ndeleteoldrdn: 0")
    assert modified == "dn: uid=eve,o=x\nchangetype: modify\nreplace: uid\nuid: eve\n-\n\n"


def test_only_the_spelling_of_the_superior_differs() -> None:
    assert written(rename("uid=ann,o=x", "uid=ann,O=X")) == ""


def test_octets_in_an_rdn() -> None:
    text = written(rename("uid=\\ff,o=x", "uid=\\fe,o=x"))
    assert "newrdn: uid=\\fe\ndeleteoldrdn: 0\n\n" in text


# --- what follows a renamed entry


UNIT: Attributes = {"ou": [b"new"]}


def dns(text: str) -> list[str]:
    return [line.removeprefix("dn: ") for line in text.splitlines() if line.startswith("dn: ")]


def test_what_is_below_is_not_written() -> None:
    text = written(
        rename("ou=old,o=x", "ou=new,o=y", {"ou": [b"old"]}, UNIT),
        rename("ou=in,OU=Old,o=x", "ou=in,ou=new,o=y", {"entryDN": [b"1"]}, {"entryDN": [b"2"]}),
        rename("uid=ann,ou=in,OU=Old,o=x", "uid=ann,ou=in,ou=new,o=y"),
        rename("uid=ann,ou=older,o=x", "uid=ann,ou=newer,o=y"),
    )
    assert dns(text) == ["ou=old,o=x", "uid=ann,ou=older,o=x"]


def test_what_is_below_but_goes_elsewhere() -> None:
    text = written(
        rename("ou=old,o=x", "ou=new,o=y", {"ou": [b"old"]}, UNIT),
        rename("uid=ann,ou=old,o=x", "uid=eve,ou=new,o=y", ANN, {**ANN, "uid": [b"eve"]}),
        rename("cn=deep,uid=ann,ou=old,o=x", "cn=deep,uid=eve,ou=new,o=y"),
    )
    assert dns(text) == ["ou=old,o=x", "uid=ann,ou=new,o=y"]
    assert "newsuperior" not in text.partition("dn: uid=ann")[2]


def test_below_a_rename_and_modified() -> None:
    text = written(
        rename("ou=old,o=x", "ou=new,o=x", {"ou": [b"old"]}, UNIT),
        rename("uid=ann,ou=old,o=x", "uid=ann,ou=new,o=x", ANN, {**ANN, "sn": [b"b"]}),
    )
    assert dns(text) == ["ou=old,o=x", "uid=ann,ou=new,o=x"]
    assert text.endswith("changetype: modify\nreplace: sn\nsn: b\n-\n\n")


@pytest.mark.parametrize("between", [None, add("ou=old,o=x", UNIT)])
def test_the_old_place_is_taken_again(between: Change | None) -> None:
    text = written(
        rename("ou=old,o=x", "ou=new,o=x", {"ou": [b"old"]}, UNIT),
        between,
        rename("uid=ann,ou=old,o=x", "uid=ann,ou=new,o=x"),
    )
    assert dns(text)[-1] == "uid=ann,ou=old,o=x"


# --- streams


def test_a_binary_stream() -> None:
    stream = Flushed()
    callback = LDIFCallback(stream)
    callback.dispatch(add("o=ü", {"o": ["ü".encode()]}))
    assert stream.getvalue() == b"version: 1\n\ndn:: bz3DvA==\nchangetype: add\no:: w7w=\n\n"
    assert stream.flushes == 0
    callback.before_commit()
    assert stream.flushes == 1


@pytest.mark.parametrize("mode", ["a", "ab"])
def test_a_file_that_is_continued(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "changes.ldif"
    for number in range(2):
        with path.open(mode) as stream:
            LDIFCallback(stream).dispatch(add(f"o={number}", {"o": [b"x"]}))
    lines = path.read_text().splitlines()
    assert lines[:3] == ["version: 1", "", "dn: o=0"]
    assert lines.count("version: 1") == 1


def test_a_pipe() -> None:
    reading, writing = os.pipe()
    with open(reading) as reader:
        with open(writing, "w") as stream:
            callback = LDIFCallback(stream)
            callback.dispatch(add("o=x", {"o": [b"x"]}))
            callback.before_commit()
        assert reader.read() == "version: 1\n\ndn: o=x\nchangetype: add\no: x\n\n"


def test_a_stream_of_one_s_own() -> None:
    class Lines:
        def __init__(self) -> None:
            self.written: list[str] = []

        def write(self, text: str) -> None:
            self.written += [text] if text else []

        def flush(self) -> None:
            """Nothing is kept back."""

    stream: Any = Lines()
    callback = LDIFCallback(stream)
    callback.dispatch(add("o=x", {"o": [b"x"], "description": [b"long " * 40]}))
    callback.dispatch(add("o=y", {"o": [b"y"]}))
    assert len(stream.written) == 2  # each record at once


@given(st.lists(st.binary(), min_size=1))
def test_any_value_is_read_back(values: list[bytes]) -> None:
    parser = ldif.LDIFRecordList(io.StringIO(written(add("cn=a,o=x", {"cn": values}))))
    parser.parse()
    assert parser.all_records == [("cn=a,o=x", {"changetype": [b"add"], "cn": values})]


def test_a_dn_ends_no_line() -> None:
    entry = add("cn=a\nchangetype: delete,o=x", {"cn": [b"a"]})
    assert [line.partition(":")[0] for line in written(entry).splitlines()] == [
        "dn", "changetype", "cn", "",
    ]  # fmt: skip
