# SPDX-License-Identifier: BSD-3-Clause
"""A service for systemd: it says when it is ready, that it is alive, and when it stops."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping

import ldap

from syncrepl_client import PasswordFile, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import Attributes, LoggingCallback
from syncrepl_client.exceptions import ConfigurationError, SyncreplError, TooManyDeletes

EX_CONFIG = 78  # somebody must look: the unit doesn't start it again after this one

logger = logging.getLogger("service")


class Service(LoggingCallback):
    """Logs what happens; a program of yours would do its work here."""

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        super().refresh_done(items)
        notify(f"READY=1\nSTATUS=follows {len(items)} entries")

    def disconnected(self, error: Exception) -> None:
        super().disconnected(error)
        notify("STATUS=the server is away")


def notify(state: str) -> None:
    """Tell systemd, if it has started this: see sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            connection.sendall(state.encode())


def follow(url: str, state: str, password: str) -> None:
    with Syncrepl(
        data_path=os.path.join(state, "service-"),
        callback=Service,
        mode=SyncreplMode.REFRESH_AND_PERSIST,
        ldap_url=url,
        password=PasswordFile(password) if "bindname=" in url else None,
    ) as client:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        while client.poll(timeout=10):
            notify("WATCHDOG=1")
        notify("STOPPING=1")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", ".")
    try:
        follow(
            url=os.environ["LDAP_URL"],
            state=os.environ.get("STATE_DIRECTORY", "state"),
            password=os.path.join(credentials, "password"),
        )
    except (ConfigurationError, TooManyDeletes, ldap.INVALID_CREDENTIALS) as error:
        logger.critical("%s", error)
        sys.exit(EX_CONFIG)
    except (SyncreplError, ldap.LDAPError) as error:
        logger.critical("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
