# SPDX-License-Identifier: BSD-3-Clause
"""Change sequence numbers: when, and just before."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from syncrepl_client.protocol import csn

CSN = b"20261125043130.531319Z#000001#002#000003"


def test_when_a_change_was_made() -> None:
    assert csn.made_at(CSN) == datetime(2026, 11, 25, 4, 31, 30, 531319, timezone.utc)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (CSN, b"20261125043130.531318Z#000001#002#000003"),
        (
            b"20270101000000.000000Z#000000#000#000000",
            b"20261231235959.999999Z#000000#000#000000",
        ),
    ],
)
def test_just_before(given: bytes, expected: bytes) -> None:
    assert csn.just_before(given) == expected


@pytest.mark.parametrize(
    "given", [b"", b"x", b"20261325043130.531319Z#0#0#0", b"\xff#", b"20261125043130Z#0#0#0"]
)
def test_what_is_no_csn(given: bytes) -> None:
    assert csn.made_at(given) is None
    assert csn.just_before(given) is None
