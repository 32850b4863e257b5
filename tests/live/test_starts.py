# SPDX-License-Identifier: BSD-3-Clause
"""What a client does when it starts, and nothing has changed."""

from __future__ import annotations

from pathlib import Path

from tests.modules import imported, superfluous
from tests.servers import Slapd

FOLLOW = """
import sys
from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback

with Syncrepl(sys.argv[1], BaseCallback, SyncreplMode.REFRESH_ONLY, sys.argv[2]) as client:
    client.run()
    cookie = client.store.origin.cookie
    types = client._link.facts.types
assert cookie and types is not None
if "again" in sys.argv:
    assert "_types" not in vars(types), "the schema was parsed"
"""


def test_a_resume_imports_what_it_needs(slapd: Slapd, tmp_path: Path) -> None:
    """The schema is read, and not parsed: nothing is to be selected."""
    arguments = (f"{tmp_path}/", f"{slapd.url}/{slapd.suffix}??sub")
    imported(FOLLOW, *arguments)
    found = imported(FOLLOW, *arguments, "again")
    assert "syncrepl_client.store.sqlite.store" in found
    assert not superfluous(found, ["sqlite3"])
