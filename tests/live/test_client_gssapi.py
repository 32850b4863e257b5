# SPDX-License-Identifier: BSD-3-Clause
"""GSSAPI (Kerberos), against a throw-away key distribution centre and slapd."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import ldap
import pytest

from syncrepl_client import Syncrepl
from tests.conftest import missing_servers_skip
from tests.faults.recorder import PERSIST, Recorder, contents, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import Slapd
from tests.servers.people import person, person_dn
from tests.servers.process import LOOPBACK, answers, find_path, find_program, free_port, run

pytestmark = pytest.mark.usefixtures("watchdog")

REALM, USER = "EXAMPLE.COM", "ann"
SERVICE = "ldap/localhost"
PLUGINS = (
    "/usr/lib/x86_64-linux-gnu/sasl2/libgssapiv2.so",
    "/usr/lib/aarch64-linux-gnu/sasl2/libgssapiv2.so",
    "/usr/lib64/sasl2/libgssapiv2.so",
)
# The host name is taken as it stands in the URL.
OPTIONS = {ldap.OPT_X_SASL_NOCANON: 1}


class Kdc:
    """A key distribution centre on loopback, with one service and one user."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.environment = {
            "KRB5_CONFIG": str(directory / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(directory / "kdc.conf"),
            "KRB5_KTNAME": str(directory / "service.keytab"),
            "KRB5_CLIENT_KTNAME": str(directory / "none.keytab"),
            "KRB5CCNAME": str(directory / "tickets"),
            "KRB5RCACHENAME": "none:",
        }

    def configure(self) -> None:
        (self.directory / "krb5.conf").write_text(
            f"[libdefaults]\ndefault_realm = {REALM}\nrdns = false\n"
            "dns_canonicalize_hostname = false\ndns_lookup_kdc = false\n"
            f"[realms]\n{REALM} = {{\nkdc = {LOOPBACK}:{self.port}\n}}\n"
            f"[domain_realm]\nlocalhost = {REALM}\n"
        )
        (self.directory / "kdc.conf").write_text(
            f"[kdcdefaults]\nkdc_listen = {LOOPBACK}:{self.port}\n"
            f"kdc_tcp_listen = {LOOPBACK}:{self.port}\n"
            f"[realms]\n{REALM} = {{\ndatabase_name = {self.directory}/principal\n"
            f"key_stash_file = {self.directory}/stash\nacl_file = {self.directory}/acl\n}}\n"
        )
        run(find_program("kdb5_util", "krb5-kdc"), "create", "-s", "-r", REALM, "-P", "secret")
        for name, keytab in ((SERVICE, "service"), (USER, "user")):
            for query in (
                f"addprinc -randkey {name}",
                f"ktadd -k {self.directory}/{keytab}.keytab {name}",
            ):
                run(find_program("kadmin.local", "krb5-admin-server"), "-r", REALM, "-q", query)

    def get_ticket(self) -> None:
        run(find_program("kinit", "krb5-user"), "-k", "-t", f"{self.directory}/user.keytab", USER)

    def forget_ticket(self) -> None:
        (self.directory / "tickets").unlink()

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [find_program("krb5kdc", "krb5-kdc"), "-n", "-r", REALM, "-P", f"{self.directory}/pid"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not answers(self.port):
            assert process.poll() is None
            time.sleep(0.01)
        return process


@pytest.fixture(scope="module")
def kdc() -> Iterator[Kdc]:
    with missing_servers_skip():
        find_path(PLUGINS, "libsasl2-modules-gssapi-mit")
        find_program("krb5kdc", "krb5-kdc")
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        kdc = Kdc(Path(name))
        for variable, value in kdc.environment.items():
            patch.setenv(variable, value)
        kdc.configure()
        process = kdc.start()
        try:
            yield kdc
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def server(kdc: Kdc) -> Iterator[Slapd]:
    user = f"uid={USER},cn={REALM.lower()},cn=gssapi,cn=auth"
    config = f'sasl-host localhost\nsasl-realm {REALM}\nauthz-regexp "{user}" "{person_dn(1)}"'
    with missing_servers_skip(), Slapd(extra_config=config, sessionlog=10) as server:
        with server.connected() as admin:
            admin.add_s(person_dn(1), list(person(1).items()))
        yield server


@pytest.fixture
def url(server: Slapd) -> str:
    host = server.url.replace(LOOPBACK, "localhost")
    return f"{host}/{server.suffix}??sub??bindname=GSSAPI"


@pytest.fixture
def ticket(kdc: Kdc) -> Iterator[None]:
    kdc.get_ticket()
    yield
    kdc.forget_ticket()


@pytest.mark.usefixtures("ticket")
def test_with_a_ticket(server: Slapd, url: str, tmp_path: Path) -> None:
    recorder = Recorder()
    with Syncrepl(f"{tmp_path}/", recorder, PERSIST, url, options=OPTIONS) as client:
        [(_, connection)] = recorder.of("bind")
        assert connection.whoami_s() == f"dn:{person_dn(1)}"
        poll_until(client, recorder, "commit")
        assert person_dn(1) in contents(client)
        with server.connected() as admin:
            admin.delete_s(person_dn(1))
        poll_until(client, recorder, "delete")
        assert client.poll(0.01)
        client.please_stop()
        assert not client.poll()


def test_without_a_ticket(url: str, tmp_path: Path) -> None:
    with pytest.raises(ldap.LDAPError):
        Syncrepl(f"{tmp_path}/", Recorder(), PERSIST, url, options=OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_mechanisms_that_the_server_does_not_have(tmp_path: Path) -> None:
    with missing_servers_skip(), Slapd() as server:
        url = f"{server.url}/{server.suffix}??sub??bindname=GSSAPI"
        with pytest.raises(ldap.LDAPError):
            Syncrepl(f"{tmp_path}/", Recorder(), PERSIST, url)
    assert list(tmp_path.iterdir()) == []
