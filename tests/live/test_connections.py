# SPDX-License-Identifier: BSD-3-Clause
"""How a connection is made, and everything that can be wrong with what the constructor is given."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import ldap
import ldapurl
import pytest

from syncrepl_client import Syncrepl, SyncreplMode, exceptions
from syncrepl_client.callbacks import BaseCallback
from tests.conftest import missing_servers_skip, open_descriptors
from tests.faults.recorder import PERSIST, REFRESH_ONLY, Recorder, contents, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.patience import HANGS_SECONDS
from tests.servers import Slapd
from tests.servers.certificates import make_certificates
from tests.servers.people import person, person_dn
from tests.servers.process import free_port
from tests.servers.scripted import Provider, done
from tests.servers.scripted import person as scripted_person

pytestmark = pytest.mark.usefixtures("watchdog")

Refused = Callable[..., "pytest.ExceptionInfo[Exception]"]

SEARCH = "/dc=example,dc=com??sub"
ROOT_NAME, ROOT_PASSWORD = "cn=admin,dc=example,dc=com", "secret"
BOUND = f"?bindname={ROOT_NAME.replace(',', '%2C')}"


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with missing_servers_skip(), Slapd(tls=True, sessionlog=100) as server:
        yield server


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_certificates(tmp_path_factory.mktemp("ca")).ca_file)


@pytest.fixture
def data_path(tmp_path: Path) -> str:
    return f"{tmp_path}/"


def trust(ca_file: str | None) -> dict[int, Any]:
    return {ldap.OPT_X_TLS_CACERTFILE: ca_file}


def who(recorder: Recorder) -> str:
    """As whom the connection is bound."""
    found: str = recorder.of("bind")[-1][1].whoami_s()
    return found


def follows(server: Slapd, data_path: str, url: str, **options: Any) -> str:
    """See that a client follows the server at *url*; return as whom."""
    recorder = Recorder()
    with Syncrepl(data_path, recorder, PERSIST, url, **options) as client:
        name = who(recorder)
        poll_until(client, recorder, "commit")
        with server.connected() as admin:
            admin.add_s(person_dn(1), list(person(1).items()))
            try:
                poll_until(client, recorder, "cookie", 2)
            finally:
                admin.delete_s(person_dn(1))
        poll_until(client, recorder, "cookie", 3)
        client.please_stop()
        assert not client.poll()
        assert contents(client) == recorder.mirror
    assert recorder.changes[-2:] == [("add", person_dn(1)), ("delete", person_dn(1))]
    with Syncrepl(data_path, recorder, REFRESH_ONLY, **options) as client:  # as remembered
        client.run()
    return name


# --- what works


def test_ldap(server: Slapd, data_path: str) -> None:
    assert follows(server, data_path, server.url + SEARCH) == ""


def test_ldaps(server: Slapd, data_path: str) -> None:
    options = trust(server.ca_file)
    assert follows(server, data_path, f"{server.ldaps_url}{SEARCH}", options=options) == ""


def test_starttls(server: Slapd, data_path: str) -> None:
    options = trust(server.ca_file)
    url = server.url + SEARCH
    assert follows(server, data_path, url, starttls=True, options=options) == ""


def test_ldapi(server: Slapd, data_path: str) -> None:
    assert follows(server, data_path, server.ldapi_url + SEARCH) == ""


@pytest.mark.parametrize("name", ["EXTERNAL", "external", "!bindname=EXTERNAL"])
def test_external(name: str, server: Slapd, data_path: str) -> None:
    extension = name if "=" in name else f"bindname={name}"
    url = f"{server.ldapi_url}{SEARCH}??{extension}"
    assert follows(server, data_path, url) == f"dn:{ROOT_NAME}"


def test_a_simple_bind(server: Slapd, data_path: str) -> None:
    url = f"{server.url}{SEARCH}?{BOUND}"
    assert follows(server, data_path, url, password=ROOT_PASSWORD) == f"dn:{ROOT_NAME}"


@pytest.mark.parametrize("critical", ["", "!"])
def test_a_simple_bind_with_the_password_in_the_url(
    critical: str, server: Slapd, data_path: str
) -> None:
    recorder = Recorder()
    url = f"{server.url}{SEARCH}?{BOUND},{critical}X-BINDPW={ROOT_PASSWORD}"
    with Syncrepl(data_path, recorder, REFRESH_ONLY, url) as client:
        assert who(recorder) == f"dn:{ROOT_NAME}"
        client.run()


def test_an_ldapurl_object(server: Slapd, data_path: str) -> None:
    url = ldapurl.LDAPUrl(
        urlscheme="ldap",
        hostport=server.url.rpartition("/")[2],
        dn=server.suffix,
        scope=ldap.SCOPE_SUBTREE,
        who=ROOT_NAME,
        cred=ROOT_PASSWORD,
    )
    recorder = Recorder()
    with Syncrepl(data_path, recorder, REFRESH_ONLY, url) as client:
        assert who(recorder) == f"dn:{ROOT_NAME}"
        client.run()
        assert server.suffix in contents(client)


def test_options(server: Slapd, data_path: str) -> None:
    options = {ldap.OPT_NETWORK_TIMEOUT: 7.0, ldap.OPT_REFERRALS: 1}
    recorder = Recorder()
    with Syncrepl(data_path, recorder, REFRESH_ONLY, server.url + SEARCH, options=options):
        connected = recorder.of("bind")[0][1]
        assert connected.get_option(ldap.OPT_NETWORK_TIMEOUT) == 7.0
        assert connected.get_option(ldap.OPT_REFERRALS)
        assert connected.get_option(ldap.OPT_DEREF) == ldap.DEREF_NEVER


def test_an_untrusted_server_may_be_allowed(server: Slapd, data_path: str) -> None:
    options = {ldap.OPT_X_TLS_REQUIRE_CERT: ldap.OPT_X_TLS_NEVER}
    with Syncrepl(
        data_path, Recorder(), REFRESH_ONLY, f"{server.ldaps_url}{SEARCH}", options=options
    ) as client:
        client.run()


def test_the_store_is_for_its_owner_only(server: Slapd, data_path: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Syncrepl(data_path, Recorder(), PERSIST, server.url + SEARCH) as client:
            client.poll(10)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert "syncrepl.sqlite3" in modes


# --- what doesn't: each its own error, and nothing created, changed or left open


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Call the constructor with something wrong; nothing may come of it."""

    def snapshot() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes() if path.is_file() else b"" for path in tmp_path.rglob("*")
        }

    def call(
        error: type[Exception],
        text: str | None,
        data_path: Any = None,
        callback: Any = BaseCallback,
        mode: Any = REFRESH_ONLY,
        url: Any = None,
        **options: Any,
    ) -> pytest.ExceptionInfo[Exception]:
        files = snapshot()
        gc.collect()
        threads, descriptors = set(threading.enumerate()), open_descriptors()
        with pytest.raises(error, match=text) as raised:
            Syncrepl(
                f"{tmp_path}/" if data_path is None else data_path, callback, mode, url, **options
            )
        assert snapshot() == files
        deadline = time.monotonic() + HANGS_SECONDS
        # A scripted provider may need a moment for its side.
        while (set(threading.enumerate()), open_descriptors()) != (threads, descriptors):
            assert time.monotonic() < deadline, (threading.enumerate(), open_descriptors())
            time.sleep(0.01)
        return raised

    return call


def test_wrong_ca(server: Slapd, other_ca: str, refused: Refused) -> None:
    url = f"{server.ldaps_url}{SEARCH}"
    raised = refused(ldap.SERVER_DOWN, "(?i)certificate", url=url, options=trust(other_ca))
    assert isinstance(raised.value, ldap.LDAPError)


def test_starttls_wrong_ca(server: Slapd, other_ca: str, refused: Refused) -> None:
    options = trust(other_ca)
    url = server.url + SEARCH
    refused(ldap.CONNECT_ERROR, "(?i)certificate", url=url, starttls=True, options=options)


def test_untrusted_certificate(server: Slapd, refused: Refused) -> None:
    refused(ldap.SERVER_DOWN, "(?i)certificate", url=f"{server.ldaps_url}{SEARCH}")


def test_starttls_refused(refused: Refused) -> None:
    with Provider(starttls_result=2) as provider:
        refused(ldap.PROTOCOL_ERROR, None, url=provider.url + SEARCH, starttls=True)
        provider.heard.wait("starttls")
        assert provider.binds == []  # no password goes out without TLS


def test_starttls_that_this_server_does_not_have(slapd: Slapd, refused: Refused) -> None:
    refused(ldap.LDAPError, None, url=slapd.url + SEARCH, starttls=True)


def test_wrong_password(server: Slapd, refused: Refused) -> None:
    url = f"{server.url}{SEARCH}?{BOUND}"
    raised = refused(ldap.INVALID_CREDENTIALS, None, url=url, password="tell-tale")
    assert "tell-tale" not in repr(raised.value)


def test_a_bind_that_is_refused(refused: Refused) -> None:
    with Provider(bind_result=53) as provider:
        refused(ldap.UNWILLING_TO_PERFORM, None, url=provider.url + SEARCH)
        provider.heard.wait("unbind")


@pytest.mark.parametrize("extensions", ["", "?bindname=cn=a,X-BINDPW=secret"])
def test_a_bind_that_is_never_answered(extensions: str, refused: Refused) -> None:
    options = {ldap.OPT_TIMEOUT: 0.3}  # a minute, without it
    with Provider(bind_result=None) as provider:
        refused(ldap.TIMEOUT, None, url=f"{provider.url}{SEARCH}?{extensions}", options=options)
        provider.heard.wait("bind")


def test_a_bind_name_without_a_password(server: Slapd, refused: Refused) -> None:
    url = f"{server.url}{SEARCH}?{BOUND}"
    refused(exceptions.LDAPUrlError, "without a password", url=url)
    refused(exceptions.LDAPUrlError, "without a password", url=url, password="")


def test_external_where_there_is_nothing_external(server: Slapd, refused: Refused) -> None:
    url = f"{server.url}{SEARCH}??bindname=EXTERNAL"
    refused(ldap.AUTH_UNKNOWN, "nothing external says who we are", url=url)


def test_unreachable(refused: Refused) -> None:
    refused(ldap.SERVER_DOWN, None, url=f"ldap://127.0.0.1:{free_port()}{SEARCH}")


def test_unreachable_ldapi(tmp_path: Path, refused: Refused) -> None:
    path = str(tmp_path / "nobody").replace("/", "%2F")
    refused(ldap.SERVER_DOWN, None, url=f"ldapi://{path}{SEARCH}")


def test_not_an_ldap_server(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(b"220 mail.example.com ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(ldap.LDAPError):
            Syncrepl("", BaseCallback, PERSIST, f"ldap://127.0.0.1:{port}{SEARCH}", store="memory")
        thread.join()


def test_no_content_synchronization_at_all(refused: Refused) -> None:
    with Provider(knows_sync=False) as provider:
        raised = refused(exceptions.SyncUnsupported, "overlay syncprov", url=provider.url + SEARCH)
        assert "Content Synchronization" in str(raised.value)
        assert provider.searches == []


def test_no_syncprov_on_the_database(run_server: Any, data_path: str) -> None:
    server = run_server(Slapd, syncprov=False)
    with (
        pytest.raises(exceptions.SyncUnsupported) as raised,
        Syncrepl(data_path, Recorder(), PERSIST, server.url + SEARCH) as client,
    ):
        client.run()
    for text in (
        server.url,
        "overlay syncprov",
        "no content synchronization",
        "Content Synchronization",
    ):
        assert text in str(raised.value)


# --- bad input

URL_ERRORS = {
    "ldap:///dc=example,dc=com??sub": "no host",
    "ldaps://?": "no host",
    "ldap://127.0.0.1": "no search base",
    "ldap://127.0.0.1/": "no search base",
    "ldap://127.0.0.1/??sub?(uid=*)": "no search base",
    "ldap://127.0.0.1/nonsense??sub": "not a DN",
    "ldap://127.0.0.1/dc=x??bogus": "scope",
    "ldap://127.0.0.1/dc=x??subordinates": "scope",
    "http://127.0.0.1/dc=x": "ldap://",
    "127.0.0.1": "ldap://",
    "": "ldap://",
    "ldap://127.0.0.1/dc=x??sub??!x-chase=1": "critical extension",
}


@pytest.mark.parametrize("url", URL_ERRORS)
def test_bad_urls(url: str, refused: Refused) -> None:
    raised = refused(exceptions.LDAPUrlError, URL_ERRORS[url], url=url)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("url", [b"ldap://127.0.0.1/dc=x", 389, Path("/x"), {"ldap://x/dc=x"}])
def test_urls_of_other_types(url: object, refused: Refused) -> None:
    refused(exceptions.LDAPUrlError, "ldap_url is a str", url=url)


def test_a_critical_extension(server: Slapd, refused: Refused, data_path: str) -> None:
    url = f"{server.url}{SEARCH}??"
    refused(exceptions.LDAPUrlError, "critical extension", url=f"{url}!x-foo=1")
    with Syncrepl(data_path, Recorder(), REFRESH_ONLY, f"{url}x-foo=1") as client:
        client.run()  # one that is not critical is ignored


@pytest.mark.parametrize("filter", ["(uid=*", "((uid=a)", "(&(a=b)", "(=)", "()", "(uid=\\zz)"])
def test_bad_filters(filter: str, server: Slapd, refused: Refused) -> None:
    refused(
        exceptions.ConfigurationError,
        "is not a search filter",
        url=f"{server.url}{SEARCH}?{filter}",
    )


@pytest.mark.parametrize("mode", [None, 1, 3, "REFRESH_ONLY", SyncreplMode, True])
def test_bad_modes(mode: object, server: Slapd, refused: Refused) -> None:
    refused(
        exceptions.ConfigurationError, "mode is a SyncreplMode", mode=mode, url=server.url + SEARCH
    )


class Half:
    """A callback that lacks much."""

    def bind_complete(self, ldap: object) -> None:
        pass

    def record_add(self, dn: str, attrs: object) -> None:
        pass


@pytest.mark.parametrize("callback", [1, "x", print, object, Half, Half(), len])
def test_bad_callbacks(callback: object, server: Slapd, refused: Refused) -> None:
    raised = refused(
        exceptions.CallbackInvalid, "record_delete", callback=callback, url=server.url + SEARCH
    )
    assert isinstance(raised.value, TypeError)


def test_a_callback_that_cannot_be_made(server: Slapd, refused: Refused) -> None:
    class Needs(BaseCallback):
        def __init__(self, something: object) -> None:
            raise AssertionError

    refused(TypeError, "something", callback=Needs, url=server.url + SEARCH)


@pytest.mark.parametrize("data_path", [None, b"x", 7])
def test_bad_data_paths(data_path: Any, server: Slapd) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="data_path is a str"):
        Syncrepl(data_path, BaseCallback, PERSIST, server.url + SEARCH)


STORES = pytest.mark.parametrize("store", ["sqlite", "shelve"])


@STORES
def test_no_directory(store: str, tmp_path: Path, server: Slapd, refused: Refused) -> None:
    refused(
        exceptions.StorePathError,
        "no directory",
        data_path=f"{tmp_path}/missing/",
        url=server.url + SEARCH,
        store=store,
    )


@STORES
def test_a_file_where_the_directory_should_be(
    store: str, tmp_path: Path, server: Slapd, refused: Refused
) -> None:
    (tmp_path / "file").write_text("x")
    refused(
        exceptions.StorePathError,
        "no directory",
        data_path=f"{tmp_path}/file/",
        url=server.url + SEARCH,
        store=store,
    )


@contextmanager
def read_only_directory() -> Iterator[Path]:
    """A directory that this process can't write, root though it be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        real, effective, saved = os.getresuid()
        if effective == 0:
            os.setresuid(65534, 65534, 0)
        try:
            yield Path(name)
        finally:
            os.setresuid(real, effective, saved)
            Path(name).chmod(0o700)


@STORES
def test_not_writable(store: str, server: Slapd) -> None:
    url = server.url + SEARCH
    with read_only_directory() as directory:
        with pytest.raises(exceptions.StorePathError, match="written"):
            Syncrepl(f"{directory}/", BaseCallback, PERSIST, url, store=store)
        assert list(directory.iterdir()) == []


@STORES
@pytest.mark.parametrize("bytes_", [b"my thesis\n" * 1000, b"x", bytes(8192), b"SQLite format 3\0"])
def test_a_file_that_is_no_store(
    store: str, bytes_: bytes, tmp_path: Path, server: Slapd, refused: Refused
) -> None:
    names = {"sqlite": "syncrepl.sqlite3", "shelve": "syncrepl.shelve"}
    (tmp_path / names[store]).write_bytes(bytes_)
    refused(exceptions.StoreInvalid, "left as it is|damaged", url=server.url + SEARCH, store=store)


def test_somebody_elses_database(tmp_path: Path, server: Slapd, refused: Refused) -> None:
    connection = sqlite3.connect(tmp_path / "syncrepl.sqlite3")
    connection.execute("CREATE TABLE thesis (chapter)")
    connection.commit()
    connection.close()
    refused(exceptions.StoreInvalid, "not a data store", url=server.url + SEARCH)


def test_a_directory_where_the_file_should_be(
    tmp_path: Path, server: Slapd, refused: Refused
) -> None:
    (tmp_path / "syncrepl.sqlite3").mkdir()
    refused(exceptions.StorePathError, "can't be opened", url=server.url + SEARCH)


@pytest.mark.parametrize("target", ["nowhere", "thesis"])
def test_a_symbolic_link(target: str, tmp_path: Path, server: Slapd, refused: Refused) -> None:
    (tmp_path / "thesis").write_bytes(b"")
    (tmp_path / "syncrepl.sqlite3").symlink_to(tmp_path / target)
    refused(exceptions.StorePathError, "can't be opened", url=server.url + SEARCH)


@pytest.mark.parametrize("store", ["mysql", None, 3, dict])
def test_bad_stores(store: object, server: Slapd, refused: Refused) -> None:
    refused(exceptions.ConfigurationError, "store is", url=server.url + SEARCH, store=store)


@pytest.mark.parametrize("options", [{4711_000: 1}, {"x": 1}, {ldap.OPT_NETWORK_TIMEOUT: "soon"}])
def test_bad_options(options: dict[Any, Any], server: Slapd, refused: Refused) -> None:
    refused(exceptions.ConfigurationError, "can't be set", url=server.url + SEARCH, options=options)


def test_an_existing_store_is_not_changed_by_what_fails(
    server: Slapd, other_ca: str, data_path: str, refused: Refused
) -> None:
    url = server.url + SEARCH
    with Syncrepl(data_path, Recorder(), REFRESH_ONLY, url) as client:
        client.run()
    refused(exceptions.LDAPUrlConflict, "filter", url=f"{url}?(uid=a)")
    refused(exceptions.ConfigurationError, "mode", url=url, mode=1)
    refused(ldap.SERVER_DOWN, None, url=f"ldap://127.0.0.1:{free_port()}{SEARCH}")
    refused(ldap.SERVER_DOWN, None, url=f"{server.ldaps_url}{SEARCH}", options=trust(other_ca))
    refused(ldap.INVALID_CREDENTIALS, None, url=f"{url}?{BOUND}", password="wrong")
    with Syncrepl(data_path, Recorder(), REFRESH_ONLY) as client:
        refused(exceptions.StoreLocked, "in use", url=url)


# --- passwords

SECRET = "tell-tale%2C!"  # with a comma and an exclamation mark in it
PLAIN_SECRET = "tell-tale,!"
SECRETS = ("tell-tale", "tell_tale")


@STORES
@pytest.mark.parametrize("where", ["url", "object", "argument"])
def test_no_password_anywhere(
    where: str,
    store: str,
    data_path: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    recorder = Recorder()
    script = [scripted_person(1), done(deletes=True, cookie=b"c1")]
    options: dict[str, Any] = {"store": store}
    with caplog.at_level(logging.DEBUG), Provider(script) as provider:
        url: Any = f"{provider.url}{SEARCH}??bindname=cn=a"
        if where == "argument":
            options["password"] = PLAIN_SECRET
        else:
            url += f",X-BINDPW={SECRET}"
        if where == "object":
            url = ldapurl.LDAPUrl(url)
        with Syncrepl(data_path, recorder, REFRESH_ONLY, url, **options) as client:
            texts = [repr(client), str(client), repr(vars(client))]
            client.run()
            texts += [repr(client), repr(client.store.origin)]
        assert provider.binds[0].password == PLAIN_SECRET.encode()
    texts += [caplog.text, *recorder.messages, *capfd.readouterr()]
    texts += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*")]
    assert len(list(tmp_path.iterdir())) >= 1
    assert "tell-tale" not in "\n".join(texts)


BAD_URLS_WITH_PASSWORD = [
    f"{start}??bindname=cn=a,X-BINDPW={SECRET}{end}"
    for start, end in (
        ("ldap:///dc=x?", ""),
        ("ldap://127.0.0.1/?", ""),
        ("ldap://127.0.0.1/dc=x?cn?bogus", ""),
        ("ldap://127.0.0.1/nonsense?cn?sub", ""),
        ("ldap://127.0.0.1/dc=x?cn?sub", ",!x-foo=1"),
        ("http://127.0.0.1/dc=x?cn?sub", ""),
        ("ldap://127.0.0.1:1/dc=x?cn?sub", ""),
        ("ldap://127.0.0.1:1/dc=x?cn?sub?(a", ""),
        ("ldap://127.0.0.1:99999/dc=x?cn?sub?(a", ""),
    )
]


@pytest.mark.parametrize("url", BAD_URLS_WITH_PASSWORD)
def test_no_password_in_the_errors(
    url: str, data_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[Any] = [url, url.encode()]
    with caplog.at_level(logging.DEBUG):
        for attempt in attempts:
            with pytest.raises((exceptions.SyncreplError, ldap.LDAPError)) as raised:
                Syncrepl(data_path, BaseCallback, PERSIST, attempt)
            error: BaseException | None = raised.value
            while error is not None:
                assert "tell-tale" not in f"{error} {error!r}"
                error = error.__cause__ or error.__context__
    assert "tell-tale" not in caplog.text
