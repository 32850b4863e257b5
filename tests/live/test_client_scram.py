# SPDX-License-Identifier: BSD-3-Clause
"""SCRAM, against slapd with passwords in the directory; and mechanisms that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Syncrepl
from syncrepl_client.exceptions import ConfigurationError, LDAPUrlError
from syncrepl_client.network import transport
from tests.conftest import missing_servers_skip
from tests.faults.recorder import REFRESH_ONLY, Recorder, contents
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.people import person, person_dn, uid
from tests.servers.process import find_path
from tests.servers.scripted import Provider

pytestmark = pytest.mark.usefixtures("watchdog")

PLUGINS = (
    "/usr/lib/x86_64-linux-gnu/sasl2/libscram.so",
    "/usr/lib/aarch64-linux-gnu/sasl2/libscram.so",
    "/usr/lib64/sasl2/libscram.so",
)
# SCRAM needs the password itself, or keys made from it: no hash as {SSHA} will do.
CONFIG = """\
password-hash {CLEARTEXT}
sasl-host localhost
sasl-cbinding tls-endpoint
authz-policy to
authz-regexp "uid=([^,]+),(cn=[^,]+,)*cn=scram-sha-[0-9]+(-plus)?,cn=auth" \
"uid=$1,ou=people,dc=example,dc=com"
"""
SECRET = "tell-tale é"

Connect = Callable[..., Syncrepl]


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with missing_servers_skip():
        find_path(PLUGINS, "libsasl2-modules")
    with missing_servers_skip(), Slapd(tls=True, extra_config=CONFIG) as server:
        with server.connected() as admin:
            for number, authz in ((1, [f"dn:{person_dn(2)}"]), (2, [])):
                attrs = {**person(number), "userPassword": [SECRET.encode()]}
                attrs.update({"authzTo": [each.encode() for each in authz]} if authz else {})
                admin.add_s(person_dn(number), list(attrs.items()))
        yield server


@pytest.fixture
def connect(server: Slapd, tmp_path: Path) -> Connect:
    def make(name: str, **arguments: Any) -> Syncrepl:
        url = f"{server.url}/{server.suffix}??sub??bindname={name}"
        arguments = {"password": SECRET, "sasl_user": uid(1), **arguments}
        return Syncrepl(f"{tmp_path}/", Recorder(), REFRESH_ONLY, url, **arguments)

    return make


def who(client: Syncrepl) -> str:
    found: str = client.callback.of("bind")[-1][1].whoami_s()
    return found


@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-256", "scram-sha-256"])
def test_scram(name: str, connect: Connect, tmp_path: Path) -> None:
    with connect(name, password=lambda: SECRET) as client:
        assert who(client) == f"dn:{person_dn(1)}"
        client.run()
        assert person_dn(2) in contents(client)
        texts = [repr(client), repr(vars(client)), repr(vars(client._link.established))]
        texts += [each.read_bytes().decode("latin-1") for each in tmp_path.iterdir()]
    assert "tell-tale" not in "\n".join(texts)
    with Syncrepl(
        f"{tmp_path}/", Recorder(), REFRESH_ONLY, password=SECRET, sasl_user=uid(2)
    ) as client:  # the mechanism is remembered, the user is not
        assert who(client) == f"dn:{person_dn(2)}"


def test_scram_through_tls(connect: Connect, server: Slapd) -> None:
    options = {ldap.OPT_X_TLS_CACERTFILE: server.ca_file}
    with connect("SCRAM-SHA-256", starttls=True, options=options) as client:
        assert who(client) == f"dn:{person_dn(1)}"


def test_an_authorization_identity(connect: Connect) -> None:
    with connect("SCRAM-SHA-256", authzid=f"dn:{person_dn(2)}") as client:
        assert who(client) == f"dn:{person_dn(2)}"
    with pytest.raises(ldap.INSUFFICIENT_ACCESS, match="not authorized"):
        connect("SCRAM-SHA-256", sasl_user=uid(2), authzid=f"dn:{person_dn(1)}")


def test_a_wrong_password(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(ldap.INVALID_CREDENTIALS) as caught:
        connect("SCRAM-SHA-256", password="tell-tale")
    assert "tell-tale" not in repr(caught.value)
    with pytest.raises(ldap.LDAPError):
        connect("SCRAM-SHA-256", sasl_user="nobody")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "arguments", "error", "reason"),
    [
        ("SCRAM-SHA-256", {"sasl_user": None}, ConfigurationError, "sasl_user="),
        ("SCRAM-SHA-256", {"password": ""}, LDAPUrlError, "without a password"),
        ("SCRAM-SHA-256", {"password": lambda: ""}, ConfigurationError, "is empty"),
        ("SCRAM-SHA-512", {}, LDAPUrlError, "not supported"),
        ("PLAIN", {}, LDAPUrlError, "not supported"),
        ("GSSAPI", {}, ConfigurationError, "sasl_user is for"),
        ("SCRAM-SHA-256-PLUS", {}, ldap.AUTH_UNKNOWN, "channel binding"),
    ],
)
def test_what_cannot_be(
    name: str,
    arguments: dict[str, Any],
    error: type[Exception],
    reason: str,
    connect: Connect,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=reason):
        connect(name, **arguments)
    assert list(tmp_path.iterdir()) == []


# --- before the bind, during which python-ldap keeps the interpreter's lock


def test_a_server_that_hangs_before_the_bind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ANSWER_SECONDS", 0.3)
    ended = threading.Event()
    beats: list[int] = []

    def beat() -> None:
        provider.heard.wait("root DSE")
        while not ended.wait(0.01):
            beats.append(1)

    with Provider(root_dse_result=None) as provider:
        other = threading.Thread(target=beat)
        other.start()
        url = f"{provider.url}/dc=example,dc=com??sub??bindname=SCRAM-SHA-256"
        try:
            with pytest.raises(ldap.TIMEOUT, match="did not answer the reading of ''"):
                Syncrepl(f"{tmp_path}/", Recorder(), REFRESH_ONLY, url, password=SECRET,
                         sasl_user="u")  # fmt: skip
        finally:
            ended.set()
            other.join()
        assert not provider.binds
    assert beats


@pytest.mark.parametrize("code", [1, 8, 32, 48, 50, 53])
def test_a_refusal_before_the_bind_is_an_answer(code: int, tmp_path: Path) -> None:
    with Provider(root_dse_result=code) as provider:
        url = f"{provider.url}/dc=example,dc=com??sub??bindname=EXTERNAL"
        with pytest.raises(ldap.AUTH_UNKNOWN):  # libsasl's own: there is nothing external
            Syncrepl(f"{tmp_path}/", Recorder(), REFRESH_ONLY, url)
        assert provider.heard.count("root DSE") == 1


# --- in a process of its own: libsasl and libldap read their environment when they are loaded, and
# python-ldap keeps the interpreter's lock during a SASL bind, so no server can play in this one

PROGRAM = """
import sys
import ldap
from syncrepl_client import PasswordVariable, Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback

class Callback(BaseCallback):
    def bind_complete(self, ldap):
        print(ldap.whoami_s())

url, ca_file, user = sys.argv[1:]
options = {ldap.OPT_X_TLS_CACERTFILE: ca_file} if ca_file else {}
with Syncrepl("", Callback, SyncreplMode.REFRESH_ONLY, url, bool(ca_file), store="memory",
              password=PasswordVariable("PW"), sasl_user=user, options=options):
    pass
"""


def in_a_process(
    server: Slapd | Provider, name: str, ca_file: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    url = f"{server.url}/dc=example,dc=com??sub??bindname={name}"
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, url, ca_file or "", uid(1)],
        env={**os.environ, "PW": SECRET, "PYTHONIOENCODING": "utf-8", **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=HANGS_SECONDS,
    )


def test_channel_binding(server: Slapd) -> None:
    ended = in_a_process(
        server, "SCRAM-SHA-256-PLUS", server.ca_file, LDAPSASL_CBINDING="tls-endpoint"
    )
    assert (ended.returncode, ended.stdout) == (0, f"dn:{person_dn(1)}\n"), ended.stderr


def test_a_mechanism_that_libsasl_does_not_have(server: Slapd, tmp_path: Path) -> None:
    ended = in_a_process(server, "SCRAM-SHA-256", SASL_PATH=str(tmp_path))
    assert ended.returncode == 1
    assert "libsasl on this machine has no mechanism SCRAM-SHA-256" in ended.stderr
    assert "tell-tale" not in ended.stderr


def test_a_mechanism_that_the_server_does_not_have() -> None:
    with Provider(bind_result=7) as provider:  # authMethodNotSupported
        ended = in_a_process(provider, "SCRAM-SHA-256")
        assert SECRET.encode() not in provider.binds[0].password
    assert ended.returncode == 1
    assert f"the server at {provider.url} has no SASL mechanism SCRAM-SHA-256" in ended.stderr
    assert "tell-tale" not in ended.stderr
