# SPDX-License-Identifier: BSD-3-Clause
r"""Distinguished names: normalization, comparison, and the hierarchy.

The *key* of a DN is its normal form as bytes, root first, each RDN terminated by NUL.  So the keys
of a subtree are a contiguous range, parents sort before children, and one ordered index answers
"which entry has this DN", "which are below it" and "children before parents".

**Normalization.**  Two entries with one key are one entry to the library, and one of them is lost;
two keys for one DN only mean that a spelling is reported as a rename.  So the normal form ignores
only what both OpenLDAP (2.5) and 389-ds (2.3) ignore, which is tested on both with every letter:

* case, in attribute types, and in values for the letters in ``_CASED``, except in values of the
  attributes in ``_EXACT``;
* spaces around RDNs, ``=`` and ``+``, and repeated spaces;
* the order of the attributes in an RDN;
* escaping.  But to 389-ds ``a=b`` and ``a\3Db`` are two names, and so are a space and an escaped
  space, so a key has these two as they are written.

Not ignored are, for example, the difference between ß and ss, final sigma, compatibility
characters, decomposed accents, the no-break space, and aliases of attribute types.

**Namesakes.**  Any attribute may be case-sensitive by its schema.  If a server distinguishes names
with one key, the key is added to the *namesakes* of the store (see :mod:`..protocol.placement`).
From then on it is followed by ``SOH`` and the exact spelling, in the keys of the entries with that
name and of those below them.

A store has three kinds of key:

* of *live* entries, which the callbacks know by their DN;
* of *displaced* entries: ``FF`` + UUID of the nearest entry above + rest of the old key + NUL +
  own UUID.  Another entry took their DN, and their new DN is not known yet;
* of references: ``FE`` + UUID.  They have no DN.
"""

import re
from collections.abc import Collection, Iterator
from functools import cache

import ldap
import ldap.dn

_REFERENCE = b"\xfe"
_DISPLACED = b"\xff"
_SPELLED = b"\1"

_EXACT = frozenset((
    "automountkey", "automountmapname", "bootfile", "corbarepositoryid", "homedirectory",
    "javaclassname", "javaclassnames", "javacodebase", "javadoc", "javafactory",
    "javareferenceaddress", "krbprincipalname", "labeleduri", "labeledurl", "loginshell",
    "membernisnetgroup", "memberuid", "memberurl", "nismapentry", "ref", "servicesearchdescriptor",
    "sudocommand", "sudohost", "sudooption", "sudorunas", "sudorunasgroup", "sudorunasuser",
    "sudouser", "userpassword", "vendorname", "vendorversion",
    # To slapd's telephoneNumberMatch, letters are case-sensitive.
    "facsimiletelephonenumber", "homephone", "hometelephonenumber", "mobile",
    "mobiletelephonenumber", "pager", "pagertelephonenumber", "telephonenumber",
))  # fmt: skip
"""Lower-case attributes of the servers' own schemas whose equality rule is case-sensitive."""

_CASELESS = frozenset((
    "c", "cn", "dc", "description", "displayname", "employeenumber", "givenname", "host",
    "initials", "l", "mail", "o", "ou", "serialnumber", "sn", "st", "street", "title", "uid",
))  # fmt: skip
"""Lower-case attributes that are case-insensitive on every server."""

_CASED = (
    (0x41, 0x5A), (0xC0, 0x17F),  # Latin
    (0x386, 0x3AB), (0x401, 0x40C), (0x40E, 0x480), (0x490, 0x4BE),  # Greek, Cyrillic
    (0x531, 0x556), (0x1E00, 0x1E94), (0x1EA0, 0x1EF8),  # Armenian, Latin for Vietnamese
    (0x1F08, 0x1FFC), (0xFF21, 0xFF3A),  # Greek with accents, fullwidth Latin
)  # fmt: skip
"""Ranges of code points; no server distinguishes the case of the letters in them."""

# Whatever needs more than lower-casing: escapes, quotes, multi-valued RDNs, insignificant
# spaces, anything that is not ASCII.
_SPECIAL = re.compile(r'[^ -~]|[\\"+;<>]|=#|^ | $|  | ,|, | =|= ')
# An RDN that surely doesn't, unless its attribute heeds case.
_WORD = r"[!$-*\-./0-9:?@A-Z\[\]^_`a-z{|}~]+"
_PLAIN = re.compile(rf"([A-Za-z][A-Za-z0-9-]*)={_WORD}(?: {_WORD})*")
_plain_rdn = _PLAIN.fullmatch
_PARENTS, _SHORT = 1024, 1024
"""Size of the cache of parents' keys, and the longest DN to cache: siblings share a parent."""
_parents: dict[str, bytes] = {}


def key(dn: str) -> bytes:
    """Return the key of *dn*: its normal form, the same for what is one DN to every server.

    The key of an entry starts with the keys of all entries above it.

    Raises:
        ValueError: *dn* is not a valid DN.
    """
    rdn, _, above = dn.partition(",")
    plain = _plain_rdn(rdn)
    if plain and (plain[1] in _CASELESS or plain[1].lower() not in _EXACT):
        parent = _parents.get(above) or _parent_key(above)
        if parent:
            return parent + rdn.lower().encode() + b"\0"
    return _key(dn)


def _parent_key(above: str) -> bytes:
    """Return the key of a parent, and keep it; an empty one if *above* is too long, or no DN."""
    if len(above) >= _SHORT:
        return b""
    try:
        found = _key(above)
    except ValueError:
        return b""  # of the whole DN, please
    if len(_parents) >= _PARENTS:
        _parents.clear()
    _parents[above] = found
    return found


def _key(dn: str) -> bytes:
    if not dn:
        return b""
    rdns = dn.lower().split(",")
    heeds_case = any(rdn.partition("=")[0] in _EXACT for rdn in rdns)
    if not heeds_case and _SPECIAL.search(dn) is None:
        if not all("=" in rdn[1:] for rdn in rdns):
            raise ValueError(f"not a DN: {dn!r}")
    else:
        written = split(dn)
        if ",".join(written) != dn:  # it was not split to its end
            raise ValueError(f"not a DN: {dn!r}")
        rdns = [_normal(rdn) for rdn in written]
    rdns.reverse()
    return ("\0".join(rdns) + "\0").encode()


def _normal(rdn: str, *, fold: bool = True) -> str:
    """Return the normal form of *rdn*; without *fold*, one that differs for each spelling."""
    plain = _plain_rdn(rdn) if fold else None
    if plain and plain[1].lower() not in _EXACT:
        return rdn.lower()
    escaped = re.sub(_KEPT, _keep, rdn) if "\\" in rdn else rdn
    try:
        ((*avas,),) = ldap.dn.str2dn(escaped, ldap.DN_FORMAT_LDAPV3)
    except (ldap.LDAPError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):  # octets that are no text: as written
            written = re.sub(_HEX, lambda match: match.group().lower(), rdn.strip(" "))
            return written.translate(_UNSAFE)
        raise ValueError(f"not an RDN: {rdn!r}") from error
    return "+".join(sorted(_ava(attribute.lower(), value, fold) for attribute, value, _ in avas))


def _ava(attribute: str, value: str, fold: bool) -> str:
    if not fold or attribute in _EXACT:
        return f"{attribute}={value.translate(_SEPARATING)}"
    if "  " in value:
        value = re.sub(" {2,}", " ", value)
    return f"{attribute}={value.translate(_folding())}"


@cache  # not every program needs it, and import takes its time
def _folding() -> dict[int, str]:
    letters = (chr(point) for first, last in _CASED for point in range(first, last + 1))
    lower = {ord(each): each.lower() for each in letters if len(each.lower()) == 1}
    return {**lower, **_SEPARATING}


_UNSAFE = {0: "\\00", 1: "\\01"}
_SEPARATING = {**_UNSAFE, ord("+"): "\\2b", ord(","): "\\2c"}
# These are compiled when they are first used.
_HEX = r"\\[0-9A-Fa-f]{2}"
# Escapes that a key keeps: of the characters that are not the same unescaped, and of backslash.
_KEPT = r"(?i)\\(?:20|3d|5c|[ =\\])"
_RDN = r'(?s)(?:[^,\\"]|\\.|"(?:[^"\\]|\\.)*")+'
_SPELLING = _SPELLED + rb"[^\0]*"


def _keep(match: "re.Match[str]") -> str:
    escaped = match.group()[1:].lower()
    return "\\5c" + (escaped if len(escaped) == 2 else f"{ord(escaped):02x}")


def split(dn: str) -> list[str]:
    """Return the RDNs of *dn*, leaf first, as they are spelled.

    A string that is not a valid DN is split as far as possible.
    """
    if "\\" not in dn and '"' not in dn:
        return dn.split(",")
    rdns: list[str] = []
    position = 0
    rdn = re.compile(_RDN)
    while True:
        match = rdn.match(dn, position)
        if match is None:
            return rdns
        rdns.append(match.group())
        position = match.end() + 1
        if dn[match.end() : position] != ",":
            return rdns


def rebase(dn: str, relative: bytes, base: str) -> str:
    """Return the new DN of an entry whose ancestor was renamed.

    Args:
        dn: the old DN of the entry.
        relative: the key of the entry without that of the ancestor.
        base: the new DN of the ancestor.
    """
    return ",".join([*split(dn)[: relative.count(b"\0")], base])


def above(dn: str) -> str:
    """Return the DN of the parent of *dn*, as it is spelled there."""
    return ",".join(split(dn)[1:])


def parent(key: bytes) -> bytes:
    """Return the key of the parent of the live entry at *key*."""
    return key[: key.rfind(b"\0", 0, -1) + 1]


def key_among(name: str, namesakes: Collection[bytes]) -> bytes:
    """Return the key of the DN *name* in a store with these *namesakes*.

    Raises:
        ValueError: *name* is not a valid DN.
    """
    normal = key(name)
    if not namesakes:
        return normal
    above, spelled = b"", b""
    for level, rdn in zip(normal.split(b"\0")[:-1], reversed(split(name))):
        above += level + b"\0"
        spelled += level
        if above in namesakes:
            spelled += _SPELLED + _normal(rdn, fold=False).encode()
        spelled += b"\0"
    return spelled


def plain(key: bytes) -> bytes:
    """Return the *key* of a live entry as it would be in a store without namesakes."""
    return re.sub(_SPELLING, b"", key) if _SPELLED in key else key


def is_same(one: str, other: str) -> bool:
    """Return True if the two DNs are the same to every server."""
    if one == other:
        return True
    return key(one) == key(other) and all(caseless for _, caseless in differences(one, other))


def differences(one: str, other: str) -> Iterator[tuple[bytes, bool]]:
    """Yield the keys of the names in two DNs with one key that are spelled differently.

    The root comes first.  With each key comes True if the spellings are the same to every server.
    """
    name = b""
    written = reversed(split(one)), reversed(split(other))
    for level, *rdns in zip(key(one).split(b"\0")[:-1], *written):
        name += level + b"\0"
        exact, other_exact = (_normal(rdn, fold=False) for rdn in rdns)
        if exact != other_exact:
            types = {ava.partition("=")[0] for ava in exact.split("+")}
            yield name, types <= _CASELESS


def is_live(key: bytes) -> bool:
    """Return True if *key* is the key of a live entry."""
    return key < _REFERENCE


def is_displaced(key: bytes) -> bool:
    """Return True if *key* is the key of a displaced entry."""
    return key[:1] == _DISPLACED


def is_reference(key: bytes) -> bool:
    """Return True if *key* is the key of a reference."""
    return key[:1] == _REFERENCE


def displaced(owner: bytes, relative: bytes, uuid: bytes) -> bytes:
    """Return the key of a displaced entry.

    Args:
        owner: UUID of the nearest entry above it; :data:`NOBODY` if there is none.
        relative: its old key without that of the owner.
        uuid: its own UUID.
    """
    return _DISPLACED + owner + relative + b"\0" + uuid


def displaced_below(owner: bytes) -> bytes:
    """Return the prefix of the keys of displaced entries whose owner is the entry *owner*."""
    return _DISPLACED + owner


def relative_to_owner(key: bytes) -> bytes:
    """Return the part of a displaced entry's key that its owner's new key is prepended to."""
    return key[17:-17]


def reference(uuid: bytes) -> bytes:
    """Return the key of the reference *uuid*."""
    return _REFERENCE + uuid


NOBODY = bytes(16)
"""Stands for the UUID of the owner where there is no entry above."""

FIRST_DISPLACED = _DISPLACED
"""The smallest possible key of a displaced entry."""

FIRST_NOT_LIVE = _REFERENCE
"""Greater than the key of any live entry."""

KEY_END = b"\xff" * 18
"""After a key, or the beginning of one: sorts after every key that starts with it.

An owner's UUID may begin with FF too."""
