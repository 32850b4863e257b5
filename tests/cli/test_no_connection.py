# SPDX-License-Identifier: BSD-3-Clause
"""Why there is no connection: the library and each subcommand give the same reason."""

from __future__ import annotations

import os
import socket
from errno import ECONNREFUSED
from pathlib import Path

import ldap
import pytest

from syncrepl_client import BaseCallback, Syncrepl, SyncreplMode
from syncrepl_client.testing.process import free_port
from tests.cli.commands import run
from tests.cli.states import fill
from tests.servers import Slapd
from tests.servers.people import SUFFIX

NOBODY = "no-such-host.invalid"


def unknown() -> str:
    """What this machine's resolver says of a name that nobody has."""
    with pytest.raises(socket.gaierror) as raised:
        socket.getaddrinfo(NOBODY, 389)
    return str(raised.value.strerror)


@pytest.mark.parametrize("known", [True, False], ids=["closed port", "unknown host"])
def test_everybody_says_why(known: bool, server: Slapd, tmp_path: Path) -> None:
    fill(server, tmp_path)
    where = f"ldap://127.0.0.1:{free_port()}" if known else f"ldap://{NOBODY}"
    why = os.strerror(ECONNREFUSED) if known else unknown()
    url = f"{where}/{SUFFIX}??sub"
    with pytest.raises(ldap.SERVER_DOWN, match=why):
        Syncrepl("", BaseCallback(), SyncreplMode.REFRESH_ONLY, url, store="memory")
    state = ["-d", str(tmp_path), "-H", where]
    for words in (
        ["watch", "--once", url],
        ["doctor", url],
        ["verify", *state],
        ["status", *state],
    ):
        done = run(*words)
        assert done.code != 0
        assert why in " ".join((done.out + done.err).split()), words
