# SPDX-License-Identifier: BSD-3-Clause
"""What two servers leave to their consumers to know of a cookie; else it is opaque.

OpenLDAP's is ``rid=000,sid=001,csn=CSN[;CSN...][,delcsn=CSN]``.  In the persist stage a cookie
carries the CSN of the one server that made the change, so the consumer must keep those of the
others; and a ``sid=`` that is handed back makes that server's changes invisible on another
provider.

389-ds's is ``HOST:PORT#BINDDN:BASE:FILTER#NUMBER``, the number being that of a change in its
retro changelog.
"""

import calendar
import re
from typing import Optional

_OF_389DS = re.compile(rb"[^#]*:\w+#.*#([0-9]{1,20})", re.DOTALL)
_CSN_SIZE, _CSN_SID = 40, -10
"""Length of a CSN, and where the server's id begins: ``...#SID#MOD``."""
_TIME_OF_CSN = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)\.(\d{6})Z")
_NO_NUMBER = 2**32 - 1
"""389-ds writes -1, as an unsigned number of 32 or 64 bits, where it can't find the change."""


def change_number(cookie: Optional[bytes]) -> Optional[int]:
    """Return the number of the last change that a cookie of 389-ds covers; None if it has none."""
    found = _OF_389DS.fullmatch(cookie or b"")
    number = _NO_NUMBER if found is None else int(found[1])
    return number if number < _NO_NUMBER else None


def merge(old: Optional[bytes], new: bytes) -> bytes:
    """Return *new* without its sid, with the CSNs that only *old* has, or has newer.

    A cookie that is not of OpenLDAP's form is returned as it is.
    """
    fields = _fields(new)
    if not fields:
        return new
    old_fields = _fields(old) if old is not None else {}
    csns = _by_sid(old_fields.get(b"csn", b""))
    for sid, csn in _by_sid(fields.get(b"csn", b"")).items():
        csns[sid] = max(csn, csns.get(sid, b""))
    parts: list[bytes] = [b"rid=" + fields.get(b"rid", old_fields.get(b"rid", b"000"))]
    if csns:
        parts.append(b"csn=" + b";".join(csns[sid] for sid in sorted(csns)))
    return b",".join(parts)


def later(new: bytes, old: bytes) -> Optional[bytes]:
    """Return the one of two cookies that says all that both say, if they are of one server's CSN.

    Quicker than :func:`merge`, for one after the other of the persist stage; else None.
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


def newest_time(cookie: Optional[bytes]) -> Optional[float]:
    """Return when the newest change that a cookie of OpenLDAP covers was made, in Unix time."""
    csns = _by_sid(_fields(cookie or b"").get(b"csn", b"")).values()
    times = [found for found in map(_time_of, csns) if found is not None]
    return max(times, default=None)


def _time_of(csn: bytes) -> Optional[float]:
    found = _TIME_OF_CSN.match(csn)
    if found is None:
        return None
    *whole, fraction = found.groups()
    return calendar.timegm(tuple(map(int, whole))) + float(b"0." + fraction)


def _fields(cookie: bytes) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for part in cookie.split(b","):
        name, equals, value = part.partition(b"=")
        if not equals or name not in (b"rid", b"sid", b"csn", b"delcsn"):
            return {}
        fields[name] = value
    return fields


def _by_sid(csns: bytes) -> dict[bytes, bytes]:
    """Take ``TIME#COUNT#SID#MOD;...`` apart by server id."""
    newest: dict[bytes, bytes] = {}
    for csn in filter(None, csns.split(b";")):
        parts = csn.split(b"#")
        sid = parts[2] if len(parts) == 4 else b""
        newest[sid] = max(csn, newest.get(sid, b""))
    return newest
