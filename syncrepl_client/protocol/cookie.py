# SPDX-License-Identifier: BSD-3-Clause
"""What a consumer has to know about the cookies of two servers; all others are opaque.

OpenLDAP: ``rid=000,sid=001,csn=CSN[;CSN...][,delcsn=CSN]``.  A cookie of the persist stage has only
the CSN of the server on which the change was made, so the consumer must keep the CSNs of the
others.  And a ``sid=`` that is sent back hides the changes of that server on another provider.

389-ds: ``HOST:PORT#BINDDN:BASE:FILTER#NUMBER``, where NUMBER is that of a change in its retro
changelog.
"""

import calendar
import re
from collections.abc import Iterable
from typing import Optional

# Compiled when it is first used.
_OF_389DS = rb"(?s)[^#]*:\w+#.*#([0-9]{1,20})"
_CSN_SIZE, _CSN_SID = 40, -10
"""Length of a CSN, and the index of the server ID in it: ``...#SID#MOD``."""
_FIELDS_OF_TIME = tuple(map(slice, (0, 4, 6, 8, 10, 12), (4, 6, 8, 10, 12, 14)))
"""In ``YYYYMMDDhhmmss.ffffffZ``, with which a CSN begins."""
_NO_NUMBER = 2**32 - 1
"""389-ds writes -1, as an unsigned number of 32 or 64 bits, where it can't find the change."""


def change_number(cookie: Optional[bytes]) -> Optional[int]:
    """Return the number of the last change that a 389-ds cookie covers; None if it has none."""
    found = re.fullmatch(_OF_389DS, cookie or b"")
    number = _NO_NUMBER if found is None else int(found[1])
    return number if number < _NO_NUMBER else None


def merge(old: Optional[bytes], new: bytes) -> bytes:
    """Return *new* without its sid, and with the CSNs that only *old* has, or has newer.

    A cookie that does not have OpenLDAP's form is returned unchanged.
    """
    fields = _fields(new)
    if not fields:
        return new
    old_fields = _fields(old) if old is not None else {}
    csns = _csns(old_fields)
    for sid, csn in _csns(fields).items():
        csns[sid] = max(csn, csns.get(sid, b""))
    parts: list[bytes] = [b"rid=" + fields.get(b"rid", old_fields.get(b"rid", b"000"))]
    if csns:
        parts.append(b"csn=" + b";".join(csns[sid] for sid in sorted(csns)))
    return b",".join(parts)


def later(new: bytes, old: bytes) -> Optional[bytes]:
    """Return the later of two cookies that differ in one server's CSN only; None for all others.

    A fast path of :func:`merge` for consecutive cookies of the persist stage.
    """
    head, _, csn = new.rpartition(b"csn=")
    old_head, _, old_csn = old.rpartition(b"csn=")
    comparable = (
        head == old_head
        and len(csn) == len(old_csn) == _CSN_SIZE
        and csn[_CSN_SID:] == old_csn[_CSN_SID:]
        and b"csn=" not in head
    )
    return max(new, old) if comparable else None


def advanced(value: bytes, merged: bytes, new: bytes) -> Optional[bytes]:
    """Return ``merge(value, new)``, if *value* came of a merge of *merged*; None: it is not easy.

    A fast path for a cookie that differs from the one before in one server's newer CSN only.
    """
    before, csn = merged[-_CSN_SIZE:], new[-_CSN_SIZE:]
    easy = (
        merged < new
        and merged[:-_CSN_SIZE] == new[:-_CSN_SIZE]
        and before[_CSN_SID:] == csn[_CSN_SID:]
        and new[-_CSN_SIZE - 5 : -_CSN_SIZE] == b",csn="
        and _is_csn(before)
        and _is_csn(csn)
        and value.count(before) == 1
    )
    return value.replace(before, csn) if easy else None


def only_csn(cookie: bytes) -> Optional[tuple[bytes, bytes]]:
    """Return server ID and CSN of a merged cookie that has one; None for all others.

    A fast path of :func:`csns`, for a server that is not one of several.
    """
    head, _, csn = cookie.partition(b",csn=")
    if head[:4] != b"rid=" or b"," in head or len(csn) != _CSN_SIZE or not _is_csn(csn):
        return None
    return csn[_CSN_SID:-7], csn


def _is_csn(value: bytes) -> bool:
    """Return whether *value*, as long as a CSN, consists of what a CSN does."""
    return value.translate(None, b"0123456789abcdef") == b".Z###" and value[-7:-6] == b"#"


def newest_time(cookie: Optional[bytes], sid: Optional[bytes] = None) -> Optional[float]:
    """Return when the newest change that an OpenLDAP cookie covers was made, in Unix time.

    Args:
        cookie: None for none.
        sid: of the server that the change was made on; None for any.
    """
    found = csns(cookie or b"")
    chosen = found.values() if sid is None else filter(None, [found.get(sid)])
    times = [time for time in map(_time_of, chosen) if time is not None]
    return max(times, default=None)


def _time_of(csn: bytes) -> Optional[float]:
    whole, fraction = csn[:14], csn[15:21]
    if not (whole.isdigit() and fraction.isdigit() and csn[14:15] == b"." and csn[21:22] == b"Z"):
        return None
    return calendar.timegm(tuple(int(whole[each]) for each in _FIELDS_OF_TIME)) + float(
        b"0." + fraction
    )


def _fields(cookie: bytes) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for part in cookie.split(b","):
        name, equals, value = part.partition(b"=")
        if not equals or name not in (b"rid", b"sid", b"csn", b"delcsn"):
            return {}
        fields[name] = value
    return fields


def csns(cookie: bytes) -> dict[bytes, bytes]:
    """Return the CSNs in an OpenLDAP cookie by server ID; an empty dict for other cookies."""
    return _csns(_fields(cookie))


def sid(cookie: bytes) -> Optional[bytes]:
    """Return the ID of the OpenLDAP server that sent a cookie; None where it doesn't say."""
    return _fields(cookie).get(b"sid")


def _csns(fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return by_sid(fields.get(b"csn", b"").split(b";"))


def by_sid(csns: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the newest of *csns*, each ``TIME#COUNT#SID#MOD``, for each server ID."""
    newest: dict[bytes, bytes] = {}
    for csn in filter(None, csns):
        parts = csn.split(b"#")
        sid = parts[2] if len(parts) == 4 else b""
        newest[sid] = max(csn, newest.get(sid, b""))
    return newest
