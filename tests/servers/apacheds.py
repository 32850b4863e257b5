# SPDX-License-Identifier: BSD-3-Clause
"""A throw-away ApacheDS: to see that it is refused, and why."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.servers.process import LOOPBACK, Server, find_path, find_program

PACKAGE = "apacheds"
JAVA_PACKAGE = "default-jre-headless"
JARS = ("/usr/share/apacheds/lib",)
# What Debian 12 forgot there.
MORE_JARS = [f"/usr/share/java/{name}.jar"
             for name in ("caffeine", "commons-collections4", "commons-lang3")]  # fmt: skip
CONFIGURATIONS = ("/etc/apacheds",)
MAIN = "org.apache.directory.server.UberjarMain"
PROVIDER = "org.apache.directory.server.ldap.replication.provider.SyncReplRequestHandler"
# It makes a certificate with classes that Java keeps to itself since 16.
EXPORTS = [
    "--add-exports=java.base/sun.security.x509=ALL-UNNAMED",
    "--add-exports=java.base/sun.security.util=ALL-UNNAMED",
]


class ApacheDS(Server):
    """One ApacheDS on loopback, with content synchronization and the entries of dc=example."""

    def __init__(self) -> None:
        """Nothing is started yet: that is start(), or entering the context."""
        self._java = find_program("java", JAVA_PACKAGE)
        self._jars = find_path(JARS, PACKAGE)
        self._packaged = find_path(CONFIGURATIONS, PACKAGE)
        super().__init__("apacheds", start_seconds=120)
        self.suffix = "dc=example,dc=com"
        self.root_dn = "uid=admin,ou=system"
        self.root_pw = "secret"

    def _prepare(self) -> None:
        for name in ("cache", "conf", "logs", "partitions", "run"):
            (self.directory / name).mkdir()
        packaged = (self._packaged / "config.ldif").read_text(encoding="utf-8")
        (self._conf / "config.ldif").write_text(self._config(packaged), encoding="utf-8")
        shutil.copy(self._packaged / "log4j.properties", self._conf)

    @property
    def _conf(self) -> Path:
        return self.directory / "conf"

    def _config(self, ldif: str) -> str:
        """Return the packaged configuration, with one port, on loopback."""
        changes = {
            "ads-transportid=ldap,": [
                ("ads-systemport", str(self.port)),
                ("ads-transportaddress", LOOPBACK),
            ],
            "ads-transportid=ldaps,": [("ads-enabled", "FALSE")],
            "ads-serverid=ldapserver,": [("ads-replReqHandler", PROVIDER)],
        }
        entries = []
        for entry in re.split(r"\n\n+", ldif):
            for beginning, values in changes.items():
                if entry.lower().startswith(f"dn: {beginning}"):
                    for name, value in values:
                        entry = re.sub(f"(?mi)^{name}: .*\n?", "", entry).rstrip("\n")
                        entry += f"\n{name}: {value}"
            entries.append(entry)
        return "\n\n".join(entries)

    def _command(self) -> list[str]:
        logging = [
            f"-Dlog4j.configuration=file:{self._conf}/log4j.properties",
            f"-Dapacheds.log.dir={self.directory}/logs",
        ]
        classes = ["-cp", ":".join([f"{self._jars}/*", *MORE_JARS]), MAIN]
        return [self._java, *EXPORTS, *logging, *classes, f"{self.directory}/"]
