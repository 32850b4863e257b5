# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of values that options take: functions that read them."""

import math
import re
from typing import Any, Callable, Optional, Union

import click

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
Callback = Callable[[click.Context, click.Parameter, Optional[str]], Any]


def read_by(function: Callable[[str], Any]) -> Callback:
    """Return a callback for ``click.option``: the value is what *function* makes of the text."""

    def callback(ctx: click.Context, param: click.Parameter, value: Optional[str]) -> Any:
        return None if value is None else function(value)

    return callback


def duration(text: str) -> float:
    """Return how many seconds *text* says: a number, with ``s``, ``m``, ``h``, ``d``; ``never``.

    Raises:
        click.BadParameter: it is none, or less than a second.
    """
    if text.lower() == "never":
        return math.inf
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds < 1:
        raise click.BadParameter(
            f"{text!r} is no time of a second or more: write 90, 15m, 6h, 1d or never."
        )
    return seconds


def max_deletes(text: str) -> Union[int, float, None]:
    """Return ``max_deletes`` of ``Syncrepl``: a number, a part like ``10%``, or ``none``.

    Raises:
        click.BadParameter: it is nothing of that.
    """
    if text.lower() == "none":
        return None
    found = re.fullmatch(r"(\d+)(%?)", text)
    if found and not found[2]:
        return int(found[1])
    if found and int(found[1]) <= 100:
        return int(found[1]) / 100
    raise click.BadParameter(f"{text!r} is no number of entries: write 50, 10% or none.")


def address(text: str) -> tuple[str, int]:
    """Return host and port that *text* says; the host may be missing, and is loopback then.

    Raises:
        click.BadParameter: there is no port.
    """
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
        raise click.BadParameter(f"{text!r} has no port: write 9400 or 0.0.0.0:9400.")
    return host.strip("[]") or "127.0.0.1", int(port)
