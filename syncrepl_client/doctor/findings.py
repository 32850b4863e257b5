# SPDX-License-Identifier: BSD-3-Clause
"""The findings of :mod:`.examination`."""

from enum import Enum
from typing import NamedTuple

from . import advice
from .advice import Advice


class Verdict(Enum):
    """The result of a check."""

    OK = "ok"
    """No problem."""
    WARNING = "warning"
    """A minor problem: it works with restrictions."""
    FAILURE = "failure"
    """It does not work."""
    INAPPLICABLE = "n/a"
    """It makes no difference here."""
    UNKNOWN = "unknown"
    """This user can't find out."""


class Finding(NamedTuple):
    """The finding of one check.

    Attributes:
        server: the server it is about.
        subject: what was checked, in a word or two.
        verdict: the result.
        found: what was found, in words.
        advice: what to do about it; its text is empty if there is nothing to do.
    """

    server: str
    subject: str
    verdict: Verdict
    found: str
    advice: Advice = advice.NONE


class Findings(NamedTuple):
    """Creates findings about one server.

    Attributes:
        server: the server.
        bindname: the bind DN, for the commands of advice; empty for anonymous.
    """

    server: str
    bindname: str

    def ok(self, subject: str, found: str, what: Advice = advice.NONE) -> Finding:
        """Return the finding that there is no problem, perhaps with advice."""
        return self._finding(subject, Verdict.OK, found, what)

    def warning(self, subject: str, found: str, what: Advice) -> Finding:
        """Return the finding of a minor problem, with advice."""
        return self._finding(subject, Verdict.WARNING, found, what)

    def failure(self, subject: str, found: str, what: Advice) -> Finding:
        """Return the finding of a problem, with advice."""
        return self._finding(subject, Verdict.FAILURE, found, what)

    def inapplicable(self, subject: str, found: str) -> Finding:
        """Return the finding that it makes no difference here."""
        return self._finding(subject, Verdict.INAPPLICABLE, found, advice.NONE)

    def unknown(self, subject: str, found: str, what: Advice = advice.NONE) -> Finding:
        """Return the finding that this user can't find out, with advice."""
        return self._finding(subject, Verdict.UNKNOWN, found, what)

    def _finding(self, subject: str, verdict: Verdict, found: str, what: Advice) -> Finding:
        who = f'dn.exact="{self.bindname}"' if self.bindname else "anonymous"
        commands = tuple(
            each.replace('dn.exact="BINDDN"', who)
            .replace("ldap:///BINDDN", f"ldap:///{self.bindname or 'anyone'}")
            .replace("BINDDN", self.bindname or "...")
            for each in what.commands
        )
        return Finding(self.server, subject, verdict, found, Advice(what.text, commands))
