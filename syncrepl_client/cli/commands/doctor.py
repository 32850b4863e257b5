# SPDX-License-Identifier: BSD-3-Clause
"""``syncrepl-client doctor``: checks whether a server can be followed, and advises if not."""

from collections import Counter
from collections.abc import Iterator
from typing import Optional

import click

from ...doctor import Finding, Verdict, examine
from ...store import Origin, read_store, store_exists
from .. import options
from ..exits import Exit
from ..output.report import Report, counted, write_json
from ..output.terminal import in_options
from ..target import Target

_STYLES = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.FAILURE: "bold red",
    Verdict.INAPPLICABLE: "dim",
    Verdict.UNKNOWN: "dim",
}


@click.command
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True, help="Output format.")  # fmt: skip
@options.search(data_required=False, data_help=f"{options.LOOK} It says what to follow.")
def command(target: Target, form: str) -> int:
    """Check whether a server can be followed, by this user, with this search.

    Checks each server of the URL: network, TLS, bind, content synchronization on this
    database, session log or change log, limits. Problems come with advice. It changes
    nothing on the server. Of refreshes and ordinary searches it reads 10,000 DNs at
    most.

    Exit code: 0 if no check fails (warnings may be), 1 if one does.
    """
    findings = examine(
        str(target.url),
        target.starttls,
        options=target.options,
        password=target.password,
        sasl_user=target.sasl_user,
        authzid=target.authzid,
        origin=_origin(target),
    )
    verdicts = _as_json(findings) if form == "json" else _as_text(findings)
    return Exit.FOUND if verdicts[Verdict.FAILURE] else Exit.DONE


def _origin(target: Target) -> Optional[Origin]:
    """Return the origin of the state, if there is one, and it is of this search."""
    if target.data_path is None or not store_exists(target.data_path):
        return None
    with read_store(target.data_path) as reader:
        return reader.origin


def _as_text(findings: Iterator[Finding]) -> "Counter[Verdict]":
    report, verdicts = Report(10, 14), Counter[Verdict]()
    server: Optional[str] = None
    for each in findings:
        if each.server != server:
            if server is not None:
                report.line("")
            server = each.server
            report.line(server, "bold")
        verdicts[each.verdict] += 1
        report.row(
            each.verdict.value, each.subject, in_options(each.found), style=_STYLES[each.verdict]
        )
        if each.advice.text:
            report.advice(each.advice.text, each.advice.commands)
    report.line("")
    failures, warnings = verdicts[Verdict.FAILURE], verdicts[Verdict.WARNING]
    report.text(
        f"{counted(failures, 'failure')}, {counted(warnings, 'warning')}",
        "bold red" if failures else "yellow" if warnings else "green",
    )
    return verdicts


def _as_json(findings: Iterator[Finding]) -> "Counter[Verdict]":
    verdicts = Counter[Verdict]()
    for each in findings:
        verdicts[each.verdict] += 1
        members = {
            "server": each.server,
            "check": each.subject,
            "verdict": each.verdict.value,
            "found": each.found,
            "advice": each.advice.text,
            "commands": list(each.advice.commands),
        }
        write_json(members)
    return verdicts
