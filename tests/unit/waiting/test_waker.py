# SPDX-License-Identifier: BSD-3-Clause
"""Waiting for descriptors, and for the first of several times."""

from __future__ import annotations

import socket

import pytest

from syncrepl_client.waiting.waker import earliest, is_readable


def test_whether_a_descriptor_is_readable() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert not is_readable(one.fileno())
        other.send(b"x")
        assert is_readable(one.fileno())
        one.recv(1)
        assert not is_readable(one.fileno())
        other.close()
        assert is_readable(one.fileno())  # the end: whoever reads is told


@pytest.mark.parametrize(
    ("times", "first"), [((), None), ((None,), None), ((None, 2.0, 1.0), 1.0), ((0.0, None), 0.0)]
)
def test_the_earliest(times: tuple[float | None, ...], first: float | None) -> None:
    assert earliest(*times) == first
