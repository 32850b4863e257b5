# SPDX-License-Identifier: BSD-3-Clause
"""JSON lines: what is written for which change."""

from __future__ import annotations

import io
import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client import OPERATIONAL, Change, ChangeKind, JSONLinesCallback, Phase
from syncrepl_client.entries.attributes import Attributes
from tests.unit.changes import Flushed, add, change, modify, rename

UUID_TEXT = str(UUID(int=1))
PERSIST = {"uuid": UUID_TEXT, "phase": "persist"}


def written(*changes: Change, **options: Any) -> list[Any]:
    stream = io.StringIO()
    callback = JSONLinesCallback(stream, **options)
    for each in changes:
        callback.dispatch(each)
    assert stream.getvalue().isascii()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_add() -> None:
    attrs = {"cn": ["Änne\u2028\n".encode()], "x": [b"\xff", b"t"], "jpegPhoto": [b"t"], "y": []}
    assert written(add("cn=ü", attrs)) == [
        {
            "kind": "add",
            **PERSIST,
            "dn": "cn=ü",
            "attributes": {
                "cn": ["Änne\u2028\n"],
                "x": [{"base64": "/w=="}, "t"],
                "jpegPhoto": [{"base64": "dA=="}],
                "y": [],
            },
        }
    ]


def test_modify() -> None:
    old = {"a": [b"1"], "b": [b"1"], "entryCSN": [b"1"]}
    new = {"a": [b"\xff"], "c": [b"2"], "entryCSN": [b"2"]}
    expected = {
        "kind": "modify",
        **PERSIST,
        "dn": "cn=a",
        "attributes": {"a": [{"base64": "/w=="}], "c": ["2"]},
        "differences": {
            "a": {"kind": "replaced", "added": [{"base64": "/w=="}], "removed": ["1"]},
            "b": {"kind": "removed", "added": [], "removed": ["1"]},
            "c": {"kind": "added", "added": ["2"], "removed": []},
        },
    }
    [complete] = written(modify("cn=a", old, new))
    assert written(modify("cn=a", old, new), leave_out=OPERATIONAL) == [expected]
    csn = {"kind": "replaced", "added": ["2"], "removed": ["1"]}
    assert complete["attributes"].pop("entryCSN") == ["2"]
    assert complete["differences"].pop("entryCSN") == csn
    assert complete == expected


def test_rename() -> None:
    [alone] = written(rename("uid=a", "uid=b", {"uid": [b"b"]}))
    assert alone == {
        "kind": "rename",
        **PERSIST,
        "dn": "uid=b",
        "old_dn": "uid=a",
        "attributes": {"uid": ["b"]},
        "differences": {},
    }
    [more] = written(rename("uid=a", "uid=b", {"uid": [b"a"]}, {"uid": [b"b"]}))
    assert more["differences"] == {"uid": {"kind": "replaced", "added": ["b"], "removed": ["a"]}}


def test_delete() -> None:
    assert written(change(ChangeKind.DELETE, "cn=a", None, {"cn": [b"a"]})) == [
        {"kind": "delete", **PERSIST, "dn": "cn=a", "attributes": {"cn": ["a"]}}
    ]


def test_reference() -> None:
    old: Attributes = {"ref": [b"ldap://a/"]}
    expected = {"kind": "reference", **PERSIST, "old_urls": ["ldap://a/"], "urls": []}
    assert written(change(ChangeKind.REFERENCE, old=old)) == [expected]


@pytest.mark.parametrize("phase", Phase)
def test_phases(phase: Phase) -> None:
    [line] = written(add("cn=a", {})._replace(phase=phase))
    assert line["phase"] == phase.name.lower()


def test_the_end_of_a_refresh_and_commits() -> None:
    stream = Flushed()
    callback = JSONLinesCallback(stream)
    callback.refresh_done({"cn=a": {}, "cn=b": {}})
    line = json.loads(stream.getvalue())
    assert re.fullmatch(TIME, line.pop("time"))
    assert line == {"kind": "refresh-done", "entries": 2}
    assert stream.flushes == 0
    callback.before_commit()
    assert stream.flushes == 1


def test_record_methods_are_called_as_well() -> None:
    heard: list[str] = []

    class Both(JSONLinesCallback):
        def record_add(self, dn: str, attrs: Attributes) -> None:
            heard.append(dn)

    Both(io.StringIO()).dispatch(add("cn=a", {}))
    assert heard == ["cn=a"]


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def test_when() -> None:
    told = datetime(2026, 11, 28, 12, 0, 1, 5, timezone.utc)
    csn = b"20261128110000.000007Z#000000#001#000000"
    attrs = {"modifyTimestamp": [b"20261128110000Z"], "entryCSN": [csn]}
    [line] = written(add("cn=a", attrs)._replace(time=told))
    assert line["time"] == "2026-11-28T12:00:01.000005Z"
    assert line["server_time"] == "2026-11-28T11:00:00.000007Z"
    [line] = written(add("cn=a", {"MODIFYTIMESTAMP": [b"20261128110000Z"]}))
    assert line["server_time"] == "2026-11-28T11:00:00.000000Z"
    assert "time" not in line
    odds: list[Attributes] = [
        {"entryCSN": [b"?"]},
        {"modifyTimestamp": [b"\xff"]},
        {"modifyTimestamp": []},
    ]
    for odd in odds:
        assert "server_time" not in written(add("cn=a", odd))[0]


def test_what_is_documented() -> None:
    text = Path(__file__).parents[3].joinpath("docs", "helpers.rst").read_text(encoding="utf-8")
    table = text[text.index("   * - member") :]
    kinds = [add("cn=a", {}), modify("cn=a", {}, {}), rename("cn=a", "cn=b")]
    kinds += [change(ChangeKind.DELETE, "cn=a"), change(ChangeKind.REFERENCE)]
    assert {each.kind for each in kinds} == set(ChangeKind)
    for line in written(*kinds):
        assert f'``"{line["kind"]}"``' in table
        assert [name for name in line if f"``{name}``" not in table] == []


@given(st.lists(st.binary()), st.text())
def test_any_value_can_be_written(values: list[bytes], dn: str) -> None:
    [line] = written(add(dn, {"cn": values}))
    assert line["dn"] == dn
    assert len(line["attributes"]["cn"]) == len(values)
