# SPDX-License-Identifier: BSD-3-Clause
"""A slapd with two databases that are glued together, rightly or wrongly."""

from __future__ import annotations

from syncrepl_client.testing.people import BRANCHES
from tests.servers import Slapd
from tests.servers.people import SUFFIX, base_entries, branch_entry, ldif, people_entries
from tests.servers.process import run

SUBORDINATE = f"ou={BRANCHES[0]},{SUFFIX}"
SYNCPROV = "overlay syncprov\nsyncprov-sessionlog 100\n"


class Glued(Slapd):
    """The superior has the suffix and ou=groups, the subordinate ou=people with some people."""

    def __init__(self, *, explicit: bool = True, both: bool = False, people: int = 3) -> None:
        """Nothing is started yet.

        Args:
            explicit: whether the overlay glue is written down, below syncprov: that is right.
            both: whether the subordinate has a syncprov of its own: that is wrong.
            people: how many there are.
        """
        above = [entry for entry in base_entries() if entry[0] != SUBORDINATE]
        super().__init__(syncprov=False, ldif="".join(ldif(above)))
        self._below = "".join(
            ldif([(SUBORDINATE, branch_entry(BRANCHES[0])), *people_entries(people)])
        )
        (self.directory / "below").mkdir()
        lines = [
            "database mdb",
            f'suffix "{SUBORDINATE}"',
            f"directory {self.directory}/below",
            f'rootdn "{self.root_dn}"',
            "maxsize 16777216",
            "dbnosync",
            "subordinate",
            "limits * size=unlimited",
            "access to * by * read",
            SYNCPROV if both else "",
        ]
        self._extra_config = "\n".join(lines)
        self._extra_database = ("overlay glue\n" if explicit else "") + SYNCPROV

    def _load(self) -> None:
        super()._load()
        conf = str(self._config_path)
        run(self._slapd, "-T", "add", "-q", "-w", "-f", conf, "-b", SUBORDINATE, stdin=self._below)
