# SPDX-License-Identifier: BSD-3-Clause
"""Types of option values: functions that parse them."""

import math
import re
import warnings
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Callable, Optional, TypeVar, Union

import click

T = TypeVar("T")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
Callback = Callable[[click.Context, click.Parameter, Optional[str]], Any]

_REFERENCE = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


def read_by(function: Callable[[str], Any]) -> Callback:
    """Return a callback for ``click.option`` that parses the value with *function*."""

    def callback(ctx: click.Context, param: click.Parameter, value: Optional[str]) -> Any:
        return None if value is None else function(value)

    return callback


def duration(text: str) -> float:
    """Parse a time in seconds: a number, with ``s``, ``m``, ``h``, ``d``, ``w``; or ``never``.

    Raises:
        click.BadParameter: it is not valid, or less than a second.
    """
    if text.lower() == "never":
        return math.inf
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds < 1:
        raise click.BadParameter(
            f"{text!r} is no time of a second or more: write 90, 15m, 6h, 1d or never."
        )
    return seconds


def moment(text: str) -> datetime:
    """Parse a time in the past, in the local time zone unless it says otherwise.

    It is ``now``, ``today``, ``yesterday``, a time ago like ``2h`` or ``3d ago``, or a date, a time
    of today, or both, in any usual form.

    Raises:
        click.BadParameter: it is not valid, or in the future.
    """
    now = datetime.now().astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    words = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    ago = re.fullmatch(r"(\d+(?:\.\d+)?) *([smhdw])(?: +ago)?", text.strip().lower())
    try:
        if ago:
            found = now - timedelta(seconds=float(ago[1]) * _UNITS[ago[2]])
        else:
            found = words.get(text.strip().lower()) or _date(text, midnight)
        found = found.astimezone()
    except (ValueError, OverflowError, RuntimeWarning):
        raise click.BadParameter(
            f"{text!r} is no time: write 2h, 3d, yesterday, 14:30 or '2026-11-28 14:30'."
        ) from None
    if found > now:
        raise click.BadParameter(f"{found:%Y-%m-%d %H:%M:%S} is in the future: add the date.")
    return found


def _date(text: str, default: datetime) -> datetime:
    try:
        from dateutil import parser
    except ModuleNotFoundError:
        raise click.UsageError(
            "dates need python-dateutil, which is not installed: pip install 'syncrepl_client[cli]'"
        ) from None
    if re.fullmatch(r"\s*(\d{1,7}|\W.*)?", text):
        raise ValueError(text)  # a year, a day or an hour
    with warnings.catch_warnings():
        warnings.simplefilter("error", parser.UnknownTimezoneWarning)
        return parser.parse(text, default=default)


def max_deletes(text: str) -> Union[int, float, None]:
    """Parse ``max_deletes`` of ``Syncrepl``: a number, a part like ``10%``, or ``none``.

    Raises:
        click.BadParameter: it is not valid.
    """
    if text.lower() == "none":
        return None
    found = re.fullmatch(r"(\d+)(%?)", text)
    if found and not found[2]:
        return int(found[1])
    if found and int(found[1]) <= 100:
        return int(found[1]) / 100
    raise click.BadParameter(f"{text!r} is no number of entries: write 50, 10% or none.")


def reference(text: str) -> Any:
    """Return what ``MODULE:NAME`` names."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError("this is MODULE:NAME, of a module that Python finds")
    try:
        return getattr(import_module(found[1]), found[2])
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{text}: {error}") from error


def calling(name: str, function: Callable[[], T]) -> T:
    """Return what a *function* of the user's returns; *name* is in the error."""
    try:
        return function()
    except Exception as error:
        raise ValueError(f"{name}: {str(error) or type(error).__name__}") from error


def address(text: str) -> tuple[str, int]:
    """Parse ``[HOST:]PORT``; the default host is loopback.

    Raises:
        click.BadParameter: there is no port.
    """
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
        raise click.BadParameter(f"{text!r} has no port: write 9400 or 0.0.0.0:9400.")
    return host.strip("[]") or "127.0.0.1", int(port)
