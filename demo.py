#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Follow an LDAP directory and print each change: the reference for your own program.

demo.py ldap://localhost/dc=example,dc=com??sub state/
demo.py ldap://localhost/dc=example,dc=com??sub state/ --persist
"""

import argparse
import signal
import sys
from collections.abc import Mapping
from typing import Any

import ldap

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import Attributes, BaseCallback
from syncrepl_client.exceptions import SyncreplError


class PrintingCallback(BaseCallback):
    """Prints what it is told; a program of yours would act on it."""

    def bind_complete(self, ldap: Any) -> None:
        who = ldap.whoami_s() or "anonymous"
        print(f"connected as {who}", flush=True)

    def record_add(self, dn: str, attrs: Attributes) -> None:
        print(f"  + {dn}", flush=True)

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        print(f"  * {dn}", flush=True)
        for name in sorted({*old_attrs, *new_attrs}):
            old, new = old_attrs.get(name, []), new_attrs.get(name, [])
            for sign, values in (("-", set(old) - set(new)), ("+", set(new) - set(old))):
                for value in sorted(values):
                    print(f"      {sign} {name}: {value.decode(errors='replace')}", flush=True)

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        print(f"  > {old_dn}\n    {new_dn}", flush=True)

    def record_delete(self, dn: str) -> None:
        print(f"  - {dn}", flush=True)

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        print(f"in step with the directory: {len(items)} entries", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print each change of an LDAP directory.")
    parser.add_argument("url", help="ldap://HOST/BASE?ATTRIBUTES?SCOPE?FILTER")
    parser.add_argument("data_path", help="where to remember: a prefix for file names")
    parser.add_argument("--persist", action="store_true", help="go on until stopped (Ctrl-C)")
    options = parser.parse_args()
    mode = SyncreplMode.REFRESH_AND_PERSIST if options.persist else SyncreplMode.REFRESH_ONLY

    try:
        # Connects, binds and searches. What happened since the last run comes first.
        with Syncrepl(options.data_path, PrintingCallback(), mode, options.url) as client:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: client.please_stop())
            # Each poll waits for something to do, reports it, and commits it.
            while client.poll(timeout=3):
                pass
    except (SyncreplError, ldap.LDAPError) as error:
        sys.exit(f"demo.py: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
