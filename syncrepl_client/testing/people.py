# SPDX-License-Identifier: BSD-3-Clause
"""Generated directory content: the same for the same number every time."""

from collections.abc import Iterable, Iterator

from ..entries.attributes import Attributes as Attributes

SUFFIX = "dc=example,dc=com"
BRANCHES = ("people", "groups")
GIVEN_NAMES = ("Ada", "Ben", "Cleo", "Dana", "Emil", "Fay", "Gus", "Hana", "Ivo", "June", "Kai")
SURNAMES = ("Abbott", "Baker", "Cruz", "Dietz", "Evans", "Fuchs", "Grant", "Hahn", "Ito")
TITLES = ("Engineer", "Accountant", "Librarian", "Technician", "Translator")
CITIES = ("Amsterdam", "Bergen", "Chicago", "Dresden", "Edinburgh", "Florence", "Granada")


def uid(number: int) -> str:
    """Return the uid of a person: eight characters, ordered as the numbers."""
    return f"u{number:07d}"


def person_dn(number: int, suffix: str = SUFFIX) -> str:
    """Return the DN of the person *number*, below *suffix*."""
    return f"uid={uid(number)},ou=people,{suffix}"


def person(number: int) -> Attributes:
    """Return one inetOrgPerson: about 460 bytes of attribute names and values."""
    given = GIVEN_NAMES[number % len(GIVEN_NAMES)]
    surname = SURNAMES[number % len(SURNAMES)]
    title = TITLES[number % len(TITLES)]
    city = CITIES[number % len(CITIES)]
    duties = (
        f"{title} number {number} in the {city} office; looks after the archive, "
        f"the shared printers and the plants on floor {number % 40}"
    )
    values = {
        "uid": [uid(number)],
        "cn": [f"{given} {surname} {number}"],
        "sn": [surname],
        "givenName": [given],
        "displayName": [f"{given} {surname}"],
        "mail": [f"{given}.{surname}.{number}@example.com".lower()],
        "employeeNumber": [str(number)],
        "title": [title],
        "l": [city],
        "telephoneNumber": [f"+1 555 {number // 10000 % 1000:03d} {number % 10000:04d}"],
        "roomNumber": [f"{number % 40}.{number % 97}"],
        "postalAddress": [f"{number % 900 + 1} Market Street $ {city} $ {number % 90000 + 10000}"],
        "description": [duties],
        "objectClass": ["top", "person", "organizationalPerson", "inetOrgPerson"],
    }
    return {name: [value.encode() for value in several] for name, several in values.items()}


def suffix_entry(suffix: str = SUFFIX) -> Attributes:
    """Return the entry at the top: a domain, or an organization.

    Raises:
        ValueError: *suffix* begins with neither dc= nor o=.
    """
    kind, _, value = suffix.split(",")[0].partition("=")
    if kind.lower() == "dc":
        return {
            "objectClass": [b"top", b"dcObject", b"organization"],
            "dc": [value.encode()],
            "o": [b"Example"],
        }
    if kind.lower() == "o":
        return {"objectClass": [b"top", b"organization"], "o": [value.encode()]}
    raise ValueError(f"no entry is known for the suffix {suffix!r}: use dc= or o=, or an ldif")


def branch_entry(name: str) -> Attributes:
    """Return an organizationalUnit."""
    return {"objectClass": [b"top", b"organizationalUnit"], "ou": [name.encode()]}


def base_entries(suffix: str = SUFFIX) -> Iterator[tuple[str, Attributes]]:
    """Yield the suffix entry and the branches below it: what an empty server holds."""
    yield suffix, suffix_entry(suffix)
    for name in BRANCHES:
        yield f"ou={name},{suffix}", branch_entry(name)


def people_entries(count: int, suffix: str = SUFFIX) -> Iterator[tuple[str, Attributes]]:
    """Yield the persons 0 to *count* - 1, below *suffix*."""
    for number in range(count):
        yield person_dn(number, suffix), person(number)


def ldif(entries: Iterable[tuple[str, Attributes]]) -> Iterator[str]:
    """Yield LDIF records.

    Args:
        entries: whose values are plain ASCII and need no base64.
    """
    for dn, attributes in entries:
        lines = [f"dn: {dn}"]
        for name, values in attributes.items():
            lines += [f"{name}: {value.decode('ascii')}" for value in values]
        yield "\n".join(lines) + "\n\n"


def base_ldif(suffix: str = SUFFIX) -> str:
    """Return LDIF of the suffix entry and its branches."""
    return "".join(ldif(base_entries(suffix)))


def people_ldif(count: int, suffix: str = SUFFIX) -> str:
    """Return LDIF of the base and of so many people, to load a server with."""
    return base_ldif(suffix) + "".join(ldif(people_entries(count, suffix)))
