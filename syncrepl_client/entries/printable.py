# SPDX-License-Identifier: BSD-3-Clause
"""Text to be read by people: on a terminal, in a log, in a line of monitoring.

Directory data may come from anybody, and servers keep DNs as they were written: a line break in
one could forge a line of a log, ESC move the cursor, colour the screen or set the terminal's
title, and U+202E reverse the rest of the line.
"""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""Return *text* with all non-printable characters escaped as ``\n``, ``\x1b``, ..."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
