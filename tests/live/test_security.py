# SPDX-License-Identifier: BSD-3-Clause
"""What goes over the wire, to whom, and what is kept: certificates, StartTLS, passwords, TCP."""

from __future__ import annotations

import functools
import logging
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import PasswordFile, PasswordVariable, Syncrepl
from syncrepl_client.exceptions import ConfigurationError
from syncrepl_client.network import transport
from tests.conftest import missing_servers_skip
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.servers import Slapd
from tests.servers.certificates import Certificates, make_certificates, make_self_signed
from tests.servers.middle import Middle, TlsListener, only_version
from tests.servers.process import run
from tests.servers.scripted import Pause, Provider, done, envelope, notice, octets, person, result

pytestmark = pytest.mark.usefixtures("watchdog")

SECRET = "tell-tale"
NAME = "cn=reader,dc=example,dc=com"
SEARCH = f"/dc=example,dc=com??sub??bindname={NAME.replace(',', '%2C')}"
ANONYMOUS = "/dc=example,dc=com??sub"
ROOT = f"{ANONYMOUS}??bindname=cn=admin%2Cdc=example%2Cdc=com"

Open = Callable[..., Syncrepl]


@pytest.fixture
def follow(tmp_path: Path) -> Open:
    """Make a client, in the test's directory."""

    def make(url: Any = None, mode: Any = REFRESH_ONLY, **options: Any) -> Syncrepl:
        return Syncrepl(f"{tmp_path}/", Recorder(), mode, url, **options)

    return make


def chained(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def never_asked() -> str:
    raise AssertionError("the password was asked for")


# --- certificates


def make_of_another_authority(directory: Path) -> Certificates:
    """A certificate of one authority, and another authority to trust."""
    (directory / "other").mkdir()
    other = make_certificates(directory / "other")
    files = make_certificates(directory)
    other.ca_file.replace(files.ca_file)
    return files


def make_not_yet_valid(directory: Path) -> Certificates:
    """A certificate for the year after next."""
    files = make_certificates(directory)
    (directory / "index.txt").touch()
    (directory / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=x\n[x]\ndatabase={directory}/index.txt\nnew_certs_dir={directory}\n"
        "rand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n",
        encoding="ascii",
    )
    begins = (datetime.now(timezone.utc) + timedelta(days=400)).strftime("%Y%m%d%H%M%SZ")
    run(
        *("openssl", "ca", "-batch", "-notext", "-config", str(directory / "ca.cnf")),
        *("-cert", str(files.ca_file), "-keyfile", str(directory / "ca.key")),
        *("-in", str(directory / "server.csr"), "-extfile", str(directory / "san")),
        *("-startdate", begins, "-days", "800", "-out", str(files.cert_file)),
    )
    return files


@pytest.mark.parametrize(
    ("make_files", "why"),
    [
        (make_self_signed, "is self-signed: trust it by itself"),
        (
            functools.partial(make_certificates, names="DNS:elsewhere.example.com,IP:192.0.2.1"),
            "is made out for another name than 127.0.0.1",
        ),
        (functools.partial(make_certificates, days=-1), "certificate has expired"),
        (
            functools.partial(make_certificates, names="DNS:elsewhere", common_name="127.0.0.1"),
            "is made out for another name than 127.0.0.1",
        ),
        (make_not_yet_valid, "is not valid yet: is the clock"),
        (make_of_another_authority, "an authority that is not trusted"),
    ],
    ids=["self-signed", "other host", "expired", "common name", "not yet valid", "other authority"],
)
def test_certificates_that_are_refused(
    make_files: Any, why: str, run_server: Any, follow: Open
) -> None:
    server = run_server(Slapd, tls=True, make_files=make_files)
    options = {ldap.OPT_X_TLS_CACERTFILE: server.ca_file}
    for url, starttls in ((server.ldaps_url, False), (server.url, True)):
        with pytest.raises((ldap.SERVER_DOWN, ldap.CONNECT_ERROR), match=why):
            follow(url + ROOT, starttls=starttls, options=options, password=server.root_pw)
    server.stop()
    assert "BIND" not in server.log()
    assert SECRET not in server.log()


def test_a_certificate_with_a_common_name_alone(run_server: Any, follow: Open) -> None:
    make_files = functools.partial(make_certificates, names="", common_name="127.0.0.1")
    server = run_server(Slapd, tls=True, make_files=make_files)
    options = {ldap.OPT_X_TLS_CACERTFILE: server.ca_file}
    with follow(server.ldaps_url + ANONYMOUS, options=options) as client:
        client.run()
    options[ldap.OPT_X_TLS_REQUIRE_SAN] = ldap.OPT_X_TLS_DEMAND
    with pytest.raises((ldap.SERVER_DOWN, ldap.CONNECT_ERROR)):
        follow(server.ldaps_url + ANONYMOUS, options=options)


CONNECT = """
import sys, ldap
from syncrepl_client import Syncrepl, SyncreplMode
path, url, ca_file, *lax = sys.argv[1:]
options = {ldap.OPT_X_TLS_CACERTFILE: ca_file}
if lax:
    options[ldap.OPT_X_TLS_REQUIRE_SAN] = ldap.OPT_X_TLS_ALLOW
try:
    with Syncrepl(path, None, SyncreplMode.REFRESH_ONLY, url, options=options):
        print("connected")
except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR):
    print("refused")
"""
LAX = {"TLS_REQSAN": "never", "TLS_REQCERT": "never", "TLS_PROTOCOL_MIN": "3.1"}


@pytest.mark.parametrize("how", ["environment", "ldaprc", "option"])
def test_what_is_around_does_not_weaken_tls(how: str, run_server: Any, tmp_path: Path) -> None:
    """The environment and a file ldaprc are read by libldap; options come after them."""
    make_files = functools.partial(
        make_certificates, names="DNS:elsewhere", common_name="127.0.0.1"
    )
    server = run_server(Slapd, tls=True, make_files=make_files)
    arguments = [f"{tmp_path}/", server.ldaps_url + ANONYMOUS, server.ca_file]
    environment = dict(os.environ)
    if how == "environment":
        environment.update({f"LDAP{name}": value for name, value in LAX.items()})
    elif how == "ldaprc":
        lines = (f"{name} {value}\n" for name, value in LAX.items())
        (tmp_path / "ldaprc").write_text("".join(lines))
    else:
        arguments.append("lax")
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, *arguments],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == ("connected\n" if how == "option" else "refused\n")
    assert ("OPT_X_TLS_REQUIRE_SAN lets the common name" in done.stderr) == (how == "option")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    with missing_servers_skip():
        return make_certificates(tmp_path_factory.mktemp("certificates"))


OLD, MIDDLING = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2


def test_tls_before_1_2_is_refused(certificates: Certificates, follow: Open) -> None:
    with TlsListener(certificates, OLD, looks=1) as server:
        options = {ldap.OPT_X_TLS_CACERTFILE: str(certificates.ca_file)}
        with pytest.raises(ldap.SERVER_DOWN, match=r"speaks no TLS of version 1\.2 or later"):
            follow(server.url + SEARCH, password=SECRET, options=options)
        server.join()
    assert server.version is None
    assert server.received == b""


def test_the_server_that_was_refused_speaks_tls_1_1(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.ca_file)
    only_version(context, OLD)
    with (
        TlsListener(certificates, OLD) as server,
        socket.create_connection(("127.0.0.1", server.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.version() == "TLSv1.1"


def test_tls_1_2_is_enough_unless_more_is_asked_for(
    certificates: Certificates, follow: Open
) -> None:
    options = {ldap.OPT_X_TLS_CACERTFILE: str(certificates.ca_file), ldap.OPT_TIMEOUT: 0.5}
    with TlsListener(certificates, MIDDLING) as server:
        with pytest.raises(ldap.TIMEOUT):  # it says nothing
            follow(server.url + SEARCH, password=SECRET, options=options)
        server.join()
    assert server.version == "TLSv1.2"
    assert SECRET.encode() in server.received
    options[ldap.OPT_X_TLS_PROTOCOL_MIN] = ldap.OPT_X_TLS_PROTOCOL_TLS1_3
    with TlsListener(certificates, MIDDLING) as server:
        with pytest.raises(ldap.SERVER_DOWN, match="TLS"):
            follow(server.url + SEARCH, password=SECRET, options=options)
        server.join()
    assert server.version is None
    assert server.received == b""


def test_tls_options_that_cannot_be_used(follow: Open, tmp_path: Path) -> None:
    for option, value in (
        (ldap.OPT_X_TLS_CACERTFILE, str(tmp_path / "missing.pem")),
        (ldap.OPT_X_TLS_CIPHER_SUITE, "no such suite"),
    ):
        with pytest.raises(ConfigurationError, match=r"can't be (set|read from)"):
            follow(f"ldaps://127.0.0.1:1{ANONYMOUS}", options={option: value})


# --- StartTLS, and whoever answers it

STARTTLS_DONE = envelope(1, result(0x78, 0))
BIND_DONE = envelope(2, result(0x61, 0))
ANSWERS = {
    "operationsError": envelope(1, result(0x78, 1)),
    "protocolError": envelope(1, result(0x78, 2)),
    "referral": envelope(1, result(0x78, 10, "", octets("ldap://elsewhere/", 0xA3))),
    "unavailable": envelope(1, result(0x78, 52)),
    "other": envelope(1, result(0x78, 80)),
    "no such code": envelope(1, result(0x78, 9999)),
    "to another question": envelope(1, result(0x61, 0)),
    "as a search": envelope(1, result(0x65, 0)),
    "notice of disconnection": notice(52).data,
    "success, then LDAP": STARTTLS_DONE + BIND_DONE,
    "success, then zeros": STARTTLS_DONE + bytes(64),
    "success, then text": STARTTLS_DONE + b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "success, then an alert": STARTTLS_DONE + b"\x15\x03\x03\x00\x02\x02\x28",
    "success, then the end": STARTTLS_DONE,
    "zeros": bytes(64),
    "text": b"220 mail.example.com ESMTP\r\n",
    "half an answer": STARTTLS_DONE[:-3],
    "nothing": b"",
    "a length of 2 GB": b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01",
    "no length": b"\x30\x80\x02\x01\x01",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_starttls_fails_closed(answer: str, follow: Open, tmp_path: Path) -> None:
    """Whatever comes instead of TLS: no bind, and no password, not even asked for."""
    with Middle(ANSWERS[answer], hang_up=True) as middle:
        with pytest.raises(ldap.LDAPError):
            follow(middle.url + SEARCH, starttls=True, password=never_asked)
        middle.join()
    assert b"1.3.6.1.4.1.1466.20037" in middle.received
    assert NAME.encode() not in middle.received
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [b"", envelope(7, result(0x78, 0)), STARTTLS_DONE[:-3]])
def test_starttls_that_is_not_answered(answer: bytes, follow: Open) -> None:
    options = {ldap.OPT_TIMEOUT: 0.3}  # a minute, without it
    with Middle(answer) as middle:
        with pytest.raises(ldap.TIMEOUT, match="did not answer StartTLS"):
            follow(middle.url + SEARCH, starttls=True, password=never_asked, options=options)
        middle.join()
    assert NAME.encode() not in middle.received


def test_starttls_with_success_and_without_tls(
    follow: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if libldap took it for a success."""
    monkeypatch.setattr(ldap.ldapobject.SimpleLDAPObject, "start_tls_s", lambda self: None)
    with Provider() as provider:
        with pytest.raises(ldap.CONNECT_ERROR, match="there is no TLS"):
            follow(provider.url + SEARCH, starttls=True, password=never_asked)
        assert provider.binds == []


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with missing_servers_skip(), Slapd(tls=True) as server:
        yield server


def test_starttls_is_not_sent_where_tls_is(server: Slapd, follow: Open) -> None:
    options = {ldap.OPT_X_TLS_CACERTFILE: server.ca_file}
    with follow(f"{server.ldaps_url}{ANONYMOUS}", starttls=True, options=options) as client:
        client.run()


# --- warnings


def elsewhere(url: str) -> str:
    """The same server at an address that does not look like this machine."""
    return url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - nothing is bound to it


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_password_in_clear_is_warned_of_before(
    follow: Open, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[list[str]] = []

    def ask() -> str:
        told.append(warnings(caplog))
        return SECRET

    with Provider([done()]) as provider:
        with follow(elsewhere(provider.url) + SEARCH, password=ask) as client:
            client.run()
        assert provider.binds[0].password == SECRET.encode()
    [[warning]] = told
    assert "crosses the network in clear" in warning
    assert warnings(caplog) == [warning]
    assert SECRET not in caplog.text


@pytest.mark.parametrize("kind", ["loopback", "ldapi", "anonymous"])
def test_no_warning(
    kind: str, server: Slapd, follow: Open, caplog: pytest.LogCaptureFixture
) -> None:
    url = {
        "loopback": server.url + ROOT,
        "ldapi": server.ldapi_url + ROOT,
        "anonymous": elsewhere(server.url) + ANONYMOUS,
    }[kind]
    password = None if kind == "anonymous" else server.root_pw
    with follow(url, password=password) as client:
        client.run()
    assert warnings(caplog) == []


def test_a_check_that_is_off_is_warned_of(
    server: Slapd, follow: Open, caplog: pytest.LogCaptureFixture
) -> None:
    options = {ldap.OPT_X_TLS_REQUIRE_CERT: ldap.OPT_X_TLS_NEVER}
    with follow(f"{server.ldaps_url}{ROOT}", password=server.root_pw, options=options) as client:
        client.run()
    [warning] = warnings(caplog)
    assert "accepts any certificate" in warning


# --- passwords


def test_passwords_change(follow: Open, tmp_path: Path) -> None:
    path = tmp_path / "password"
    with Provider([done()], [done()]) as provider:
        for password in (b"first", b"second"):
            path.write_bytes(password + b"\n")
            path.chmod(0o600)
            with follow(provider.url + SEARCH, password=PasswordFile(path)) as client:
                client.run()
        assert [bind.password for bind in provider.binds] == [b"first", b"second"]


class VaultError(Exception):
    """What the user's function may raise."""


@pytest.mark.parametrize("error", [VaultError("x"), ldap.SERVER_DOWN("y"), ldap.TIMEOUT("z")])
def test_what_the_source_raises_goes_through(
    error: Exception, follow: Open, tmp_path: Path
) -> None:
    said = error.args

    def ask() -> str:
        raise error

    with Provider() as provider, Provider() as other:
        with pytest.raises(type(error)) as caught:
            follow([provider.url + SEARCH, other.url], password=ask)
        assert provider.binds == other.binds == []
    assert caught.value is error
    assert error.args is said
    assert error.__cause__ is error.__context__ is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "source",
    [lambda: "", lambda: b"", PasswordFile("/dev/null"), PasswordVariable("SYNCREPL_NOT_SET")],
)
def test_no_bind_without_a_password(source: Any, follow: Open) -> None:
    with Provider() as provider:
        with pytest.raises(ConfigurationError, match=r"empty|not set"):
            follow(provider.url + SEARCH, password=source)
        assert provider.binds == []


@pytest.mark.parametrize("where", ["url", "str", "bytes", "function", "file", "variable"])
def test_a_password_is_kept_nowhere(
    where: str,
    follow: Open,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path_factory.mktemp("secrets") / "password"
    path.write_text(SECRET)
    monkeypatch.setenv("SYNCREPL_TEST_PW", SECRET)
    sources: dict[str, Any] = {
        "url": None, "str": SECRET, "bytes": SECRET.encode(), "function": lambda: SECRET,
        "file": PasswordFile(path), "variable": PasswordVariable("SYNCREPL_TEST_PW"),
    }  # fmt: skip
    extension = f",X-BINDPW={SECRET}" if where == "url" else ""
    pause = Pause()
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    with Provider([person(1), done(deletes=True, cookie=b"c1")], [pause]) as provider:
        url = [provider.url + SEARCH + extension, elsewhere(provider.url)]
        with follow(url, password=sources[where]) as client:
            client.run()
        with follow(url, PERSIST, password=sources[where]) as client:
            connection = client._link.established
            for seen in (client, client.store, connection, connection.url, connection.ldap):
                texts += [repr(seen), str(seen), repr(vars(seen))]
            texts += [repr(client.store.origin)]
            files = list(tmp_path.iterdir())
            texts += [each.read_bytes().decode("latin-1") for each in files]
            assert {"syncrepl.sqlite3", "syncrepl.sqlite3-wal"} <= {each.name for each in files}
        assert [bind.password for bind in provider.binds] == [SECRET.encode()] * 2
    texts += [each.read_bytes().decode("latin-1") for each in tmp_path.iterdir()]
    texts += [caplog.text, *client.callback.messages]
    assert any(NAME in text for text in texts) or any("cn=reader" in text for text in texts)
    assert SECRET not in "\n".join(texts)


@pytest.mark.parametrize("code", [1, 2, 7, 8, 13, 48, 49, 53, 80, 9999])
def test_errors_do_not_tell(code: int, follow: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for extension, password in (("", SECRET), ("", lambda: SECRET), (f",X-BINDPW={SECRET}", None)):
        with Provider(bind_result=code) as provider:
            with pytest.raises(ldap.LDAPError) as caught:
                follow(provider.url + SEARCH + extension, password=password)
            assert provider.binds[0].password == SECRET.encode()
        for error in chained(caught.value):
            assert SECRET not in f"{error} {error!r} {error.args!r} {vars(error)!r}"
    assert SECRET not in caplog.text


# --- a peer that is gone

KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
]


def of_tcp(client: Syncrepl) -> list[int]:
    """Keepalive: on or not, seconds, probes, seconds; TCP_USER_TIMEOUT in milliseconds."""
    descriptor = os.dup(client._link.established._descriptor())
    with socket.socket(fileno=descriptor) as copy:
        return [copy.getsockopt(level, name) for level, name in KEEPALIVE]


@pytest.mark.parametrize("scheme", ["ldap", "ldaps", "starttls"])
def test_dead_peers_are_noticed(scheme: str, server: Slapd, follow: Open) -> None:
    url = f"{server.ldaps_url if scheme == 'ldaps' else server.url}{ANONYMOUS}"
    options = {ldap.OPT_X_TLS_CACERTFILE: server.ca_file}
    with follow(url, PERSIST, starttls=scheme == "starttls", options=options) as client:
        assert of_tcp(client) == [1, 30, 3, 10, 60_000]
        assert not os.get_blocking(client._link.established._descriptor())


def test_when_dead_peers_are_noticed_is_an_option(server: Slapd, follow: Open) -> None:
    options = {
        ldap.OPT_X_KEEPALIVE_IDLE: 5,
        ldap.OPT_X_KEEPALIVE_PROBES: 2,
        ldap.OPT_X_KEEPALIVE_INTERVAL: 7,
        ldap.OPT_TCP_USER_TIMEOUT: 9000,
    }
    with follow(server.url + ANONYMOUS, options=options) as client:
        assert of_tcp(client) == [1, 5, 2, 7, 9000]


def test_an_older_libldap(server: Slapd, follow: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(transport._DEFAULTS, ldap.OPT_TCP_USER_TIMEOUT)
    monkeypatch.setattr(transport, "TCP_USER_TIMEOUT", None)
    with follow(server.url + ANONYMOUS, PERSIST) as client:
        assert of_tcp(client) == [1, 30, 3, 10, 60_000]
        assert not os.get_blocking(client._link.established._descriptor())
        poll_until(client, client.callback, "refresh_done")
    with follow(server.ldapi_url + ANONYMOUS) as client:  # no TCP: nothing to set
        client.run()
