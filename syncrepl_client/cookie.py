# SPDX-License-Identifier: BSD-3-Clause
"""OpenLDAP's cookies: ``rid=000,sid=001,csn=CSN[;CSN...][,delcsn=CSN]``.

To everybody else a cookie is opaque, and to this library too, but for what slapd leaves to
its consumers: in the persist stage a cookie carries the CSN of the one server that made the
change, so the consumer must keep those of the others; and a ``sid=`` that is handed back
makes that server's changes invisible on another provider.
"""

from typing import Optional


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
