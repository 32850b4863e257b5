# SPDX-License-Identifier: BSD-3-Clause
"""A directory for the command, and the state of logging as it was."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from tests.docs.conftest import READER
from tests.servers import Slapd
from tests.servers.people import people_ldif

PEOPLE = 5


@pytest.fixture
def server(run_server: Callable[..., Any]) -> Slapd:
    """A server with five people, a user with a password, and TLS."""
    slapd: Slapd = run_server(Slapd, sessionlog=1000, tls=True, ldif=people_ldif(PEOPLE) + READER)
    return slapd


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """Undo what the command does to logging, in a test that runs it in this process."""
    logger = logging.getLogger("syncrepl_client")
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.propagate = before[1]
    logger.handlers[:] = before[2]
