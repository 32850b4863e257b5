# SPDX-License-Identifier: BSD-3-Clause
"""A temporary OpenLDAP slapd with syncprov."""

import os
import shutil
from pathlib import Path
from typing import Callable, Optional, Union
from urllib.parse import quote

from .certificates import Certificates, make_certificates
from .people import SUFFIX, base_ldif
from .process import LOOPBACK, Server, find_path, find_program, free_port, run

MODULE_DIRECTORIES = ("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/libexec/openldap")
SCHEMA_DIRECTORIES = ("/etc/ldap/schema", "/etc/openldap/schema")
# Ubuntu confines /usr/sbin/slapd to /etc/ldap and /var/lib/ldap; a copy is free.
APPARMOR_PROFILE = Path("/etc/apparmor.d/usr.sbin.slapd")
SCHEMAS = ("core", "cosine", "inetorgperson")
GIBIBYTE = 1 << 30


class Slapd(Server):
    """A slapd on loopback: back_mdb, syncprov, anonymous may read everything but passwords.

    The schemas are core, cosine and inetorgperson.  Changes are not synced to disk.

    Attributes:
        url: of the server, without anything after the port.
        ldapi_url: of its Unix socket, where SASL EXTERNAL makes this user the root DN.
        ldaps_url: of its TLS port; None without TLS.
        ca_file: the authority's certificate, for ``ldap.OPT_X_TLS_CACERTFILE``; None without TLS.
    """

    def __init__(
        self,
        *,
        sessionlog: Optional[int] = None,
        syncprov: bool = True,
        server_id: Optional[int] = None,
        suffix: str = SUFFIX,
        tls: bool = False,
        make_files: Callable[[Path], Certificates] = make_certificates,
        sizelimit: Optional[int] = None,
        paged_total: Optional[int] = None,
        extra_config: str = "",
        extra_database: str = "",
        ldif: Union[str, Path, None] = None,
        maxsize: int = GIBIBYTE,
    ) -> None:
        """Initialize; :meth:`start`, or entering the context, starts the server.

        Args:
            sessionlog: how many deletes syncprov records; None: no session log.
            syncprov: whether the server supports content synchronization.
            server_id: the serverID in its cookies; None: slapd's default.
            suffix: the DN at the top of the directory.
            tls: whether it supports TLS: StartTLS, and ldaps on another port.
            make_files: creates the certificate in a directory.
            sizelimit: entries that a search may return; None: unlimited.
            paged_total: entries that a paged search may return; None: as sizelimit.
            extra_config: lines for the global section of slapd.conf.
            extra_database: lines for its database section.
            ldif: the initial content, or a file with it; None: the suffix entry, ou=people and
                ou=groups.
            maxsize: maximum size of the database in bytes.

        Raises:
            ServerMissing: slapd is not installed; the message says what to install.
            ValueError: there is no *ldif*, and the *suffix* starts with neither dc= nor o=.
        """
        self._slapd = find_program("slapd", "slapd")
        self._modules = find_path(MODULE_DIRECTORIES, "slapd")
        self._schemas = find_path(SCHEMA_DIRECTORIES, "slapd")
        super().__init__("slapd")
        self._sessionlog = sessionlog
        self._syncprov = syncprov
        self._server_id = server_id
        self._sizelimit = sizelimit
        self._paged_total = paged_total
        self._extra_config = extra_config
        self._extra_database = extra_database
        self._ldif = base_ldif(suffix) if ldif is None else ldif
        self._maxsize = maxsize
        self._make_files = make_files
        self._certificates: Optional[Certificates] = None
        self.suffix = suffix
        self.root_dn = f"cn=admin,{suffix}"
        self.root_pw = "secret"
        self.ldapi_url = "ldapi://" + quote(str(self.directory / "ldapi"), safe="")
        self.ldaps_url: Optional[str] = None
        self.ca_file: Optional[str] = None
        if tls:
            self.ldaps_url = f"ldaps://{LOOPBACK}:{free_port()}"
            self.ca_file = str(self.directory / "ca.pem")

    def wipe(self) -> None:
        """Stop, restore the initial content, and start.

        The contextCSN is a new one then: the server accepts no cookie from before.

        Raises:
            ServerFailed: it does not start.
        """
        self.stop()
        shutil.rmtree(self._data)
        self._load()
        self.start()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _config_path(self) -> Path:
        return self.directory / "slapd.conf"

    def _prepare(self) -> None:
        if APPARMOR_PROFILE.exists():
            self._slapd = shutil.copy(self._slapd, str(self.directory / "slapd"))
        if self.ldaps_url is not None:
            self._certificates = self._make_files(self.directory)
        self._config_path.write_text(self._global_config() + self._database_config())
        self._load()

    def _load(self) -> None:
        self._data.mkdir()
        command = [self._slapd, "-T", "add", "-q", "-w", "-f", str(self._config_path)]
        if isinstance(self._ldif, Path):
            run(*command, "-l", str(self._ldif))
        else:
            run(*command, stdin=self._ldif)

    def _command(self) -> list[str]:
        urls = [self.url, self.ldapi_url]
        if self.ldaps_url is not None:
            urls.append(self.ldaps_url)
        # -d keeps slapd in the foreground; "none" is what slapd says in any case.
        return [self._slapd, "-d", "none", "-f", str(self._config_path), "-h", " ".join(urls)]

    def _global_config(self) -> str:
        lines = [f"include {self._schemas}/{name}.schema" for name in SCHEMAS]
        lines += [f"pidfile {self.directory}/pid", f"modulepath {self._modules}"]
        lines += ["moduleload back_mdb", "moduleload syncprov"]
        # EXTERNAL over ldapi as the user who runs the tests is the root DN.
        peer = f"gidNumber={os.getgid()}\\\\+uidNumber={os.getuid()}"
        lines.append(f'authz-regexp "{peer},cn=peercred,cn=external,cn=auth" "{self.root_dn}"')
        if self._server_id is not None:
            lines.append(f"serverID {self._server_id}")
        if self._certificates is not None:
            lines.append(f"TLSCACertificateFile {self._certificates.ca_file}")
            lines.append(f"TLSCertificateFile {self._certificates.cert_file}")
            lines.append(f"TLSCertificateKeyFile {self._certificates.key_file}")
        return "\n".join([*lines, self._extra_config, ""])

    def _database_config(self) -> str:
        size = "unlimited" if self._sizelimit is None else self._sizelimit
        lines = ["database mdb", f'suffix "{self.suffix}"', f"directory {self._data}"]
        lines += [f'rootdn "{self.root_dn}"', f"rootpw {self.root_pw}"]
        lines += [
            f"maxsize {self._maxsize}",
            "dbnosync",
            "index objectClass,uid,entryUUID,entryCSN eq",
        ]
        paged = "" if self._paged_total is None else f"size.prtotal={self._paged_total}"
        lines.append(f"limits * size={size} {paged} time=unlimited")
        if self._syncprov:
            lines.append("overlay syncprov")
            if self._sessionlog is not None:
                lines.append(f"syncprov-sessionlog {self._sessionlog}")
        # After the extra lines: the first access line that matches decides.
        lines += [self._extra_database, "access to attrs=userPassword by anonymous auth by * none"]
        lines += ["access to * by * read", ""]
        return "\n".join(lines)
