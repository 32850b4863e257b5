# SPDX-License-Identifier: BSD-3-Clause
"""What undoes changes as LDIF change records (RFC 2849) for ``ldapmodify``."""

from collections.abc import Iterator

from ..changelog.undo import Undo
from ..entries.printable import printable
from . import ldifrecord


def to_ldif(undo: Undo) -> Iterator[str]:
    """Yield LDIF: comment lines that say what is not undone, then the records, in their order."""
    yield "version: 1\n\n"
    for kept in undo.kept:
        yield comment(f"not undone: {kept.dn}: {kept.reason}")
    if undo.kept:
        yield "\n"
    for change in undo.changes:
        records = ldifrecord.to_ldif(change, by_value=True)
        hidden = undo.hidden.get(change.new_dn or "", ()) if records else ()
        if hidden:
            yield comment(f"the log does not have the values of {', '.join(hidden)}")
        yield records


def comment(text: str) -> str:
    """Return *text* as a comment line."""
    return f"# {printable(text).encode('ascii', 'backslashreplace').decode()}\n"
