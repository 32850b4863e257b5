# SPDX-License-Identifier: BSD-3-Clause
"""A service for systemd: it says when it is ready, that it is alive, and when it stops."""

import logging
import os
import signal
import sys

import ldap

from syncrepl_client import PasswordFile, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import LoggingCallback
from syncrepl_client.exceptions import ConfigurationError, SyncreplError, TooManyDeletes
from syncrepl_client.service import Notifier

EX_CONFIG = 78  # somebody must look: the unit doesn't start it again after this one

logger = logging.getLogger("service")


def follow(url: str, state: str, password: str) -> None:
    notifier = Notifier()
    with Syncrepl(
        data_path=os.path.join(state, "service-"),
        callback=LoggingCallback,  # yours would do its work here
        mode=SyncreplMode.REFRESH_AND_PERSIST,
        ldap_url=url,
        password=PasswordFile(password) if "bindname=" in url else None,
    ) as client:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: client.please_stop())
        while client.poll(timeout=notifier.interval):
            notifier.tick(client)
        notifier.stopping()


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
