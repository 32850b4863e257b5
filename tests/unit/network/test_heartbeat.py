# SPDX-License-Identifier: BSD-3-Clause
"""Silence, without waiting."""

from __future__ import annotations

import math

from syncrepl_client.network.heartbeat import Heartbeat


def test_a_silent_server_is_asked_then_given_up() -> None:
    heartbeat = Heartbeat(20, now=100)
    assert heartbeat.next == 120
    assert not heartbeat.is_due(119)
    assert heartbeat.is_due(120)
    heartbeat.asked(125)
    assert not heartbeat.is_due(130)
    assert heartbeat.next == 145
    assert not heartbeat.is_overdue(144)
    assert heartbeat.is_overdue(145)


def test_whatever_it_says_is_a_sign_of_life() -> None:
    heartbeat = Heartbeat(20, now=100)
    heartbeat.asked(120)
    heartbeat.heard(139)
    assert not heartbeat.is_overdue(1000)
    assert heartbeat.next == 159


def test_time_without_a_question_is_no_evidence() -> None:
    """A program that was busy for an hour has not listened."""
    heartbeat = Heartbeat(20, now=100)
    assert not heartbeat.is_overdue(3700)
    assert heartbeat.is_due(3700)


def test_never() -> None:
    heartbeat = Heartbeat(None, now=100)
    assert math.isinf(heartbeat.next)
    assert not heartbeat.is_due(1e12)
