# SPDX-License-Identifier: BSD-3-Clause
"""Distinguished names: when two are the same, and which lies below which.

A DN's *key* is its normal form as bytes, root first, each RDN ended by NUL.  So the keys of
a subtree are a contiguous range, parents sort before children, and one ordered index answers
"who has this DN", "who is below it" and "children before parents".

A store holds three kinds of key:

* of *live* entries: the callbacks know them under their DN;
* of *displaced* entries, ``FF`` + UUID of the nearest entry above + rest of the key they had
  + NUL + their UUID: another entry took their DN, and nobody has said yet where they are now;
* of references, ``FE`` + UUID: these have no DN at all.
"""

import re
import unicodedata
from functools import lru_cache

import ldap
import ldap.dn

_REFERENCE = b"\xfe"
_DISPLACED = b"\xff"

_CASE_EXACT = frozenset(("automountkey", "automountmapname", "krbprincipalname", "memberuid"))
"""Naming attributes whose equality rule heeds case (RFC 2307bis, MIT Kerberos' schema)."""

# Whatever needs more than lower-casing: escapes, quotes, multi-valued RDNs, insignificant
# spaces, anything that is not ASCII, a value that heeds case.
_SPECIAL = re.compile(
    r'[^ -~]|[\\"+;<>]|=#|^ | $|  | ,|, | =|= |\b(?i:' + "|".join(_CASE_EXACT) + ")=", re.ASCII
)
# An RDN that surely doesn't, unless its attribute heeds case.
_WORD = r"[!$-*\-./0-9:?@A-Z\[\]^_`a-z{|}~]+"
_PLAIN = re.compile(rf"([A-Za-z][A-Za-z0-9-]*)={_WORD}(?: {_WORD})*")
_PARENTS, _SHORT = 1024, 1024
"""So many keys of parents, and only of so short DNs, are remembered: siblings share theirs."""


def key(dn: str) -> bytes:
    """Return the key of *dn*: its normal form, the same for every way to write it.

    Keys are for comparing: what is below *dn* has a key that begins with that of *dn*.

    Raises:
        ValueError: *dn* is not a DN.
    """
    rdn, _, above = dn.partition(",")
    plain = _PLAIN.fullmatch(rdn)
    if plain and above and len(above) < _SHORT and plain[1].lower() not in _CASE_EXACT:
        try:
            return _parent_key(above) + rdn.lower().encode() + b"\0"
        except ValueError:
            pass  # of the whole DN, please
    return _key(dn)


def _key(dn: str) -> bytes:
    if not dn:
        return b""
    if _SPECIAL.search(dn) is None:
        rdns = dn.lower().split(",")
        if not all("=" in rdn[1:] for rdn in rdns):
            raise ValueError(f"not a DN: {dn!r}")
    else:
        written = split(dn)
        if ",".join(written) != dn:  # it was not split to its end
            raise ValueError(f"not a DN: {dn!r}")
        rdns = [_normal(rdn) for rdn in written]
    rdns.reverse()
    return ("\0".join(rdns) + "\0").encode()


_parent_key = lru_cache(_PARENTS)(_key)


def _normal(rdn: str) -> str:
    try:
        ((*avas,),) = ldap.dn.str2dn(rdn, ldap.DN_FORMAT_LDAPV3)
    except (ldap.LDAPError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):  # octets that are no text: as written
            return rdn.strip(" ").lower()
        raise ValueError(f"not an RDN: {rdn!r}") from error
    return "+".join(sorted(_ava(attribute, value) for attribute, value, _ in avas))


def _ava(attribute: str, value: str) -> str:
    attribute = attribute.lower()
    value = re.sub(" {2,}", " ", unicodedata.normalize("NFKC", value).strip(" "))
    if attribute not in _CASE_EXACT:
        value = value.casefold()
    value = re.sub(r"[\\+,\0]", lambda match: f"\\{ord(match.group()):02x}", value)
    return f"{attribute}={value}"


_RDN = re.compile(r'(?:[^,\\"]|\\.|"(?:[^"\\]|\\.)*")+', re.DOTALL)


def split(dn: str) -> list[str]:
    """Return the RDNs of *dn*, leaf first, each as it is written.

    What is not a DN is split as far as it goes.
    """
    if "\\" not in dn and '"' not in dn:
        return dn.split(",")
    rdns: list[str] = []
    position = 0
    while True:
        match = _RDN.match(dn, position)
        if match is None:
            return rdns
        rdns.append(match.group())
        position = match.end() + 1
        if dn[match.end() : position] != ",":
            return rdns


def rebase(dn: str, relative: bytes, base: str) -> str:
    """Return the DN of an entry whose ancestor is now called *base*.

    Args:
        dn: its DN so far, as written.
        relative: its key without that of the ancestor.
        base: the ancestor's DN, as written.
    """
    return ",".join([*split(dn)[: relative.count(b"\0")], base])


def parent(key: bytes) -> bytes:
    """Return the key of the parent of the live entry at *key*."""
    return key[: key.rfind(b"\0", 0, -1) + 1]


def is_live(key: bytes) -> bool:
    """Say whether *key* is that of an entry which the callbacks know."""
    return key < _REFERENCE


def is_displaced(key: bytes) -> bool:
    """Say whether *key* is that of a displaced entry."""
    return key[:1] == _DISPLACED


def is_reference(key: bytes) -> bool:
    """Say whether *key* is that of a reference."""
    return key[:1] == _REFERENCE


def displaced(owner: bytes, relative: bytes, uuid: bytes) -> bytes:
    """Return the key under which the entry *uuid* waits for its new place.

    Args:
        owner: UUID of the nearest entry above it; :data:`NOBODY` if there is none.
        relative: its key so far, without the owner's.
        uuid: its own.
    """
    return _DISPLACED + owner + relative + b"\0" + uuid


def displaced_below(owner: bytes) -> bytes:
    """Return the prefix of the displaced entries which wait for the entry *owner*."""
    return _DISPLACED + owner


def relative_to_owner(key: bytes) -> bytes:
    """Return what a displaced entry's key was, without that of its owner."""
    return key[17:-17]


def reference(uuid: bytes) -> bytes:
    """Return the key of the reference *uuid*."""
    return _REFERENCE + uuid


NOBODY = bytes(16)
"""In place of a UUID: there is no entry above."""

FIRST_DISPLACED = _DISPLACED
"""Displaced entries have this key or a greater one."""

FIRST_NOT_LIVE = _REFERENCE
"""Live entries have keys smaller than this one."""
