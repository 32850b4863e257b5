# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away 389 Directory Server with Content Synchronization.

dscreate needs root, spreads an instance over /etc, /var, /run and /dev/shm,
and expects systemd. ns-slapd itself needs only a configuration directory. So
the packaged template of dse.ldif is filled in here, with every path in one
temporary directory: any user can run it, and nothing is left behind.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import pwd
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import ldap
from ldap.dn import explode_dn, str2dn
from ldap.ldapobject import LDAPObject

from tests.patience import HANGS_SECONDS
from tests.servers.people import BRANCHES, SUFFIX, branch_entry, suffix_entry
from tests.servers.process import LOOPBACK, Server, find_path, find_program

PACKAGE = "389-ds-base"
SHARED_DIRECTORIES = ("/usr/share/dirsrv", "/usr/local/share/dirsrv")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - ns-slapd keeps a semaphore there
BACKEND = "cn=userRoot,cn=ldbm database,cn=plugins,cn=config"
SYNC_CONTROL = "oid=1.3.6.1.4.1.4203.1.9.1.1,cn=features,cn=config"

# The messages of every severity, and no traces. It goes into the error log too.
# At 0 ns-slapd may end without saying why.
LOG_LEVEL = "266354688"

# The directories that dse.ldif asks for, and their names here.
DIRECTORIES = {
    "bak_dir": "bak",
    "db_dir": "db",
    "db_home_dir": "home",
    "inst_dir": "instance",
    "ldif_dir": "ldif",
    "lock_dir": "lock",
    "log_dir": "logs",
    "run_dir": "run",
    "tmp_dir": "run",
}

# What differs from the template.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "cn=config": {
        "nsslapd-listenhost": LOOPBACK,
        "nsslapd-sizelimit": "-1",
        "nsslapd-timelimit": "-1",
    },
    "cn=config,cn=ldbm database,cn=plugins,cn=config": {
        "nsslapd-lookthroughlimit": "-1",
        "nsslapd-cache-autosize": "0",  # not a share of all memory
        "nsslapd-dbcachesize": "10000000",
    },
    "cn=Retro Changelog Plugin,cn=plugins,cn=config": {
        "nsslapd-pluginenabled": "on",
        "nsslapd-attribute": "nsuniqueid:targetUniqueId",  # sync finds deletes by it
    },
    "cn=Content Synchronization,cn=plugins,cn=config": {"nsslapd-pluginenabled": "on"},
}
# Out of the box only those who have bound may use the control.
ANYONE_SYNCS = {
    SYNC_CONTROL: {
        "aci": '(targetattr != "aci")(version 3.0; acl "anyone syncs";'
        ' allow (read, search) userdn = "ldap:///anyone";)'
    }
}
ANYONE_READS = (
    b'(targetattr != "userPassword || aci")(version 3.0; acl "anyone reads";'
    b' allow (read, search, compare) userdn = "ldap:///anyone";)'
)


class DS389(Server):
    """One 389-ds on loopback: retro changelog, sync plug-in, anonymous may read."""

    def __init__(
        self, *, suffix: str = SUFFIX, anyone_syncs: bool = True, db_lib: str | None = None
    ) -> None:
        """Nothing is started yet: that is start(), or entering the context.

        What the database is made with is "mdb" or "bdb"; None: as dscreate would.
        """
        self._settings = {**SETTINGS, **(ANYONE_SYNCS if anyone_syncs else {})}
        self._ns_slapd = find_program("ns-slapd", PACKAGE)
        self._shared = find_path(SHARED_DIRECTORIES, PACKAGE)
        self._db_lib = db_lib or ("mdb" if self._version() >= 3 else "bdb")
        super().__init__("ds389", start_seconds=HANGS_SECONDS)
        # ns-slapd takes what follows "slapd-" in this path for its name, and the
        # name goes into that of a semaphore that the whole machine shares.
        name = self.directory.name.replace("ds389-", "slapd-")
        self._config = self.directory / name
        self._semaphore = SHARED_MEMORY / f"sem.{name}.stats"
        self.suffix = suffix
        self.root_dn = "cn=Directory Manager"
        self.root_pw = "secret-secret"

    def reset(self) -> None:
        """Delete all below the suffix, and make ou=people and ou=groups anew.

        This is quicker than a new server. Its changes are in the changelog.
        """
        with self.connected() as connection:
            found = connection.search_s(self.suffix, ldap.SCOPE_SUBTREE, attrlist=["1.1"])
            for dn in leaves_first(dn for dn, _ in found if dn != self.suffix):
                # On LMDB it, or one below it, may have an old name.
                with contextlib.suppress(ldap.NO_SUCH_OBJECT, ldap.NOT_ALLOWED_ON_NONLEAF):
                    connection.delete_s(dn)
            left = true_names(connection, self.suffix)
            for dn in leaves_first(dn for dn in left if dn != self.suffix):
                connection.delete_s(dn)
            for name in BRANCHES:
                connection.add_s(f"ou={name},{self.suffix}", list(branch_entry(name).items()))

    def remove(self) -> None:
        """End the server and delete all of its files."""
        super().remove()
        self._semaphore.unlink(missing_ok=True)  # it outlives a kill

    def _prepare(self) -> None:
        for name in set(DIRECTORIES.values()):
            (self.directory / name).mkdir()
        schema = self._config / "schema"
        schema.mkdir(parents=True)
        # Only root and dirsrv may read the packaged ones in /etc/dirsrv.
        (schema / "99user.ldif").write_text("dn: cn=schema\nobjectClass: top\n", encoding="ascii")
        (self._config / "certmap.conf").write_text("certmap default default\n", encoding="ascii")
        (self._config / "slapd-collations.conf").write_text("", encoding="ascii")
        (self._config / "dse.ldif").write_text(self._dse(), encoding="utf-8")

    def _configure(self) -> None:
        self.restart()  # the first start adds the entryUUID plug-in, the second loads it
        with self.connected() as connection:
            entry = {**suffix_entry(self.suffix), "aci": [ANYONE_READS]}
            for dn, attrs in (*self._backend(), (self.suffix, entry)):
                connection.add_s(dn, list(attrs.items()))
        self.reset()

    def _backend(self) -> Iterator[tuple[str, Mapping[str, list[bytes]]]]:
        """The database, and what leads to it: as dscreate does, over LDAP.

        3.1, on LMDB, does not load them from a dse.ldif that it finds at its first start.
        """
        suffix = self.suffix.encode()
        yield (
            BACKEND,
            {
                "objectClass": [b"extensibleObject", b"nsBackendInstance"],
                "cn": [b"userRoot"],
                "nsslapd-suffix": [suffix],
                "nsslapd-cachememsize": [b"20000000"],
            },
        )
        yield (
            f'cn="{self.suffix}",cn=mapping tree,cn=config',
            {
                "objectClass": [b"extensibleObject", b"nsMappingTree"],
                "cn": [suffix],
                "nsslapd-state": [b"backend"],
                "nsslapd-backend": [b"userRoot"],
            },
        )

    def _command(self) -> list[str]:
        # -d keeps ns-slapd in the foreground.
        pid = self.directory / "pid"
        return [self._ns_slapd, "-D", str(self._config), "-i", str(pid), "-d", LOG_LEVEL]

    def _dse(self) -> str:
        template = self._shared / "data" / "template-dse.ldif"
        text = template.read_text(encoding="utf-8").replace("\n ", "")
        for dn, settings in self._settings.items():
            text = with_settings(text, dn, settings)
        values = self._values()
        return re.sub("%([a-z_]+)%", lambda found: values[found[1]], text)

    def _values(self) -> dict[str, str]:
        """What goes in the place of %name% in the template."""
        values = {key: str(self.directory / name) for key, name in DIRECTORIES.items()}
        values.update(
            cert_dir=str(self._config),
            config_dir=str(self._config),
            schema_dir=str(self._config / "schema"),
            db_lib=self._db_lib,
            ds_passwd=hashed(self.root_pw),
            ds_port=str(self.port),
            ds_suffix=self.suffix,
            ds_user=pwd.getpwuid(os.getuid()).pw_name,
            fqdn="localhost",
            ldapi=str(self.directory / "ldapi"),
            ldapi_autobind="on",
            ldapi_enabled="on",
            rootdn=self.root_dn,
        )
        return values

    def _version(self) -> int:
        defaults = (self._shared / "inf" / "defaults.inf").read_text(encoding="utf-8")
        found = re.search(r"^version *= *(\d+)", defaults, re.MULTILINE)
        return int(found[1]) if found else 0


def leaves_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda dn: -len(str2dn(dn)))


def true_names(connection: LDAPObject, suffix: str) -> list[str]:
    """DNs of all entries, made from where each is in the tree."""
    return [name for _, name in names(connection, suffix)]


def old_names(connection: LDAPObject, suffix: str) -> dict[str, str]:
    """DNs that searches show and that are not those of the entries, with those that are.

    3.1, on LMDB, shows some of those below a renamed container with the DNs that they had before,
    and does not know them by these.
    """
    found = list(names(connection, suffix))
    true = {name for _, name in found}
    return {shown: name for shown, name in found if shown not in true}


def names(connection: LDAPObject, suffix: str) -> Iterator[tuple[str, str]]:
    """Each entry's DN as a search shows it, and as it is by its place in the tree."""
    found = connection.search_s(suffix, ldap.SCOPE_SUBTREE, attrlist=["entryid", "parentid"])
    tree = {attrs["entryid"][0]: (dn, attrs.get("parentid", [b""])[0]) for dn, attrs in found}

    def name(identity: bytes) -> str:
        dn, parent = tree[identity]
        return dn if parent not in tree else f"{explode_dn(dn)[0]},{name(parent)}"

    return ((dn, name(identity)) for identity, (dn, _) in tree.items())


def with_settings(ldif: str, dn: str, settings: Mapping[str, str]) -> str:
    """LDIF (unfolded) in which one entry has these values for these attributes."""
    head, middle, tail = ldif.partition(f"dn: {dn}\n")
    if not middle:
        raise ValueError(f"the template of dse.ldif has no {dn}")
    old, end, rest = tail.partition("\n\n")
    names = {name.lower() for name in settings}
    lines = [line for line in old.splitlines() if line.partition(":")[0].lower() not in names]
    lines += [f"{name}: {value}" for name, value in settings.items()]
    return head + middle + "\n".join(lines) + end + rest


def hashed(password: str) -> str:
    """A password as userPassword keeps it: dse.ldif takes no clear text."""
    salt = secrets.token_bytes(8)
    digest = hashlib.sha512(password.encode() + salt).digest()
    return "{SSHA512}" + base64.b64encode(digest + salt).decode("ascii")
