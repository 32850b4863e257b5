# SPDX-License-Identifier: BSD-3-Clause
"""The text that ``watch`` writes for people."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text as Styled

from syncrepl_client import OPERATIONAL, Change, ChangeKind
from syncrepl_client.cli.output.human import HumanCallback, Paint
from tests.unit.changes import ANN, add, change, modify, rename


def told(*changes: Change, **options: Any) -> str:
    """What is written, with every time the same."""
    stream: Any = io.StringIO()
    callback = HumanCallback(stream, None, **options)
    for each in changes:
        callback.dispatch(each)
    callback.before_commit()
    return re.sub(r"^\d\d:\d\d:\d\d", "12:00:00", stream.getvalue(), flags=re.MULTILINE)


def test_an_add() -> None:
    attrs = {"cn": [b"Ann", "\u00c4nne".encode()], "userPassword": [b"{SSHA}x"], "x": [b"\xff"]}
    assert told(add("cn=Ann", attrs)) == (
        "12:00:00 add     cn=Ann\n"
        "           cn: Ann\n"
        "           cn: \u00c4nne\n"
        "           userPassword: (7 bytes)\n"
        "           x: (1 bytes)\n"
    )


def test_a_modification() -> None:
    new = {"uid": [b"ann", b"a"], "mail": [b"ann@example.com"]}
    assert told(modify("uid=ann", ANN, new)) == (
        "12:00:00 modify  uid=ann\n"
        "         + uid: a\n"
        "         - sn: a\n"
        "         + mail: ann@example.com\n"
    )


def test_what_is_left_out_is_no_modification() -> None:
    stamped = modify("uid=ann", ANN, {**ANN, "modifyTimestamp": [b"2026"]})
    assert told(stamped, leave_out=OPERATIONAL) == ""
    assert "+ modifyTimestamp: 2026" in told(stamped)


def test_a_rename() -> None:
    assert told(rename("uid=ann", "uid=anna")) == (
        "12:00:00 rename  uid=ann\n             -> uid=anna\n"
    )


def test_one_line_a_change() -> None:
    changes = (add("uid=ann", ANN), modify("uid=ann", ANN, {}), rename("uid=a", "uid=b", ANN, {}))
    assert told(*changes, brief=True) == (
        "12:00:00 add     uid=ann\n12:00:00 modify  uid=ann\n12:00:00 rename  uid=a -> uid=b\n"
    )


def test_a_delete_and_references() -> None:
    here = {"ref": [b"ldap://a/", b"ldap://b/"]}
    assert told(
        change(ChangeKind.DELETE, "uid=ann", None, ANN, None),
        change(ChangeKind.REFERENCE, new=here),
        change(ChangeKind.REFERENCE, old=here),
    ) == (
        "12:00:00 delete  uid=ann\n"
        "12:00:00 reference ldap://a/, ldap://b/\n"
        "12:00:00 reference ldap://a/, ldap://b/\n"
    )


PIECES = [
    ("12:00:00 ", "dim"), ("add     ", "bold green"), ("", "bold"),
    ("cn=Änne \u4e2d,o=[bold]x[/bold] :tada:", "bold"), (" " * 9, ""), ("~ ", "yellow"),
    ("cn: ", "cyan"), ("https://example.com/ 1234 'x' " * 9, "red"),
    ("- ", "red"), ("- ", "red"), ("trailing ", "bold magenta"),
]  # fmt: skip


@pytest.mark.parametrize("system", ["standard", "256", "truecolor", None])
@pytest.mark.parametrize("no_color", [True, False])
def test_colours_are_what_rich_makes_of_them(system: Any, no_color: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=system,
                      no_color=no_color, highlight=False, markup=False, emoji=False)  # fmt: skip
    paint = Paint(console)
    for pieces in ([], PIECES, PIECES[::-1], *([each] for each in PIECES)):
        with console.capture() as captured:
            console.print(Styled.assemble(*pieces), soft_wrap=True)
        assert paint(pieces) + "\n" == captured.get()
