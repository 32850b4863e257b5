# SPDX-License-Identifier: BSD-3-Clause
"""What people may be shown of a text that anybody may have written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncrepl_client.entries.printable import printable


def test_what_is_printable() -> None:
    assert printable("plain \u00e4\u20ac \U0001f600") == "plain \u00e4\u20ac \U0001f600"
    assert printable("\x00\t\r\n\x1b\x7f\x9b") == r"\x00\t\r\n\x1b\x7f\x9b"
    assert printable("\u2028\u202e\ufeff\U000e0001") == r"\u2028\u202e\ufeff\U000e0001"


@given(st.text())
def test_whatever_it_was_it_can_be_seen(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
