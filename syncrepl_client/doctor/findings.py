# SPDX-License-Identifier: BSD-3-Clause
"""What :mod:`.examination` finds, as data."""

from enum import Enum
from typing import NamedTuple

from . import advice
from .advice import Advice


class Verdict(Enum):
    """What a check came to."""

    OK = "ok"
    """All is well."""
    WARNING = "warning"
    """It works, but not as well as it might."""
    FAILURE = "failure"
    """It does not work so."""
    INAPPLICABLE = "n/a"
    """It makes no difference here."""
    UNKNOWN = "unknown"
    """This user can't find out."""


class Finding(NamedTuple):
    """What one check found.

    Attributes:
        server: which server it is about.
        subject: what was looked at, in a word or two.
        verdict: what it came to.
        found: what was found, in words.
        advice: what to do about it; its text is empty where that is nothing.
    """

    server: str
    subject: str
    verdict: Verdict
    found: str
    advice: Advice = advice.NONE


class Findings(NamedTuple):
    """Makes findings about one server.

    Attributes:
        server: which one.
        bindname: the DN of who asks, for the commands of advice; empty for nobody.
    """

    server: str
    bindname: str

    def ok(self, subject: str, found: str) -> Finding:
        """Return that all is well."""
        return self._finding(subject, Verdict.OK, found, advice.NONE)

    def warning(self, subject: str, found: str, what: Advice) -> Finding:
        """Return that it might be better, if *what* is done."""
        return self._finding(subject, Verdict.WARNING, found, what)

    def failure(self, subject: str, found: str, what: Advice) -> Finding:
        """Return that it does not work, and that *what* is to be done."""
        return self._finding(subject, Verdict.FAILURE, found, what)

    def inapplicable(self, subject: str, found: str) -> Finding:
        """Return that it makes no difference."""
        return self._finding(subject, Verdict.INAPPLICABLE, found, advice.NONE)

    def unknown(self, subject: str, found: str, what: Advice = advice.NONE) -> Finding:
        """Return that it can't be told, and *what* is to be done to find out."""
        return self._finding(subject, Verdict.UNKNOWN, found, what)

    def _finding(self, subject: str, verdict: Verdict, found: str, what: Advice) -> Finding:
        who = f'dn.exact="{self.bindname}"' if self.bindname else "anonymous"
        commands = tuple(
            each.replace('dn.exact="BINDDN"', who).replace("BINDDN", self.bindname or "...")
            for each in what.commands
        )
        return Finding(self.server, subject, verdict, found, Advice(what.text, commands))
