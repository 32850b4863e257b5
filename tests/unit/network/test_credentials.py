# SPDX-License-Identifier: BSD-3-Clause
"""Credentials: where a password comes from, that it is asked for anew, and never shown."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path
from typing import Any, Callable

import pytest

from syncrepl_client import PasswordFile, PasswordVariable
from syncrepl_client.exceptions import ConfigurationError, LDAPUrlError
from syncrepl_client.network.credentials import LONGEST, Credentials
from syncrepl_client.url import SASL_MECHANISMS, parse

SECRET = "tell-tale"
SIMPLE = parse("ldap://h/dc=x????bindname=cn=a")
ANONYMOUS = parse("ldap://h/dc=x")
EXTERNAL, GSSAPI, SCRAM = (
    parse(f"ldap://h/dc=x????bindname={name}") for name in ("EXTERNAL", "gssapi", "SCRAM-SHA-256")
)


def everything_said(error: BaseException | None) -> str:
    """The messages of *error* and of all that is chained to it, shown or not."""
    said = ""
    while error is not None:
        said += f"{error} {error!r} {error.args!r} {getattr(error, 'object', '')!r}\n"
        said += "".join(traceback.format_exception(type(error), error, None))
        error = error.__cause__ or error.__context__
    return said


@pytest.fixture
def password_file(tmp_path: Path) -> Callable[[bytes], PasswordFile]:
    def write(content: bytes, mode: int = 0o600) -> PasswordFile:
        path = tmp_path / "password"
        path.write_bytes(content)
        path.chmod(mode)
        return PasswordFile(path)

    return write


# --- files


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", b"secret"),
        (b"secret\n", b"secret"),
        (b"secret\r\n", b"secret"),
        (b"secret\nsecond line\n", b"secret"),
        (b"secret\n\n", b"secret"),
        (b"  two words \n", b"  two words "),
        (b"\xc3\xa9\n", "é".encode()),
        (b"\xff\xfe\0\n", b"\xff\xfe\0"),  # octets are octets (RFC 4513, 5.1.3)
        (b"a\rb", b"a\rb"),
        (b"\r", b"\r"),
        (b"x" * LONGEST, b"x" * LONGEST),
    ],
)
def test_first_line_of_a_file(password_file: Any, content: bytes, password: bytes) -> None:
    assert password_file(content)() == password


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"\nsecret\n"])
def test_an_empty_file(password_file: Any, content: bytes) -> None:
    source = password_file(content)
    with pytest.raises(ConfigurationError, match="is empty") as caught:
        source()
    assert source.path in str(caught.value)


def test_a_file_that_holds_no_password(password_file: Any) -> None:
    source = password_file(SECRET.encode() * LONGEST)
    with pytest.raises(ConfigurationError, match="octets in its first line") as caught:
        source()
    assert source.path in str(caught.value)
    assert SECRET not in everything_said(caught.value)
    with pytest.raises(ConfigurationError, match="/dev/zero"):
        PasswordFile("/dev/zero")()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigurationError, match="can't be read") as caught:
            PasswordFile(path)()
        assert str(path) in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)


def test_a_file_without_permission(password_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = password_file(b"secret")

    def refuse(path: str, *_: object) -> int:
        raise PermissionError(13, "Permission denied", path)  # root may read any file

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigurationError, match="Permission denied") as caught:
        source()
    monkeypatch.undo()
    assert source.path in str(caught.value)


def test_a_file_is_read_anew(password_file: Any) -> None:
    credentials = Credentials.choose(SIMPLE, password_file(b"old\n"))
    assert credentials.password() == b"old"
    password_file(b"new\n")
    assert credentials.password() == b"new"


def test_a_relative_path_stays(password_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(password_file(b"secret").path)
    monkeypatch.chdir(path.parent)
    source = PasswordFile(path.name)
    monkeypatch.chdir("/")
    assert source() == b"secret"
    assert repr(source) == f"PasswordFile({str(path)!r})"


@pytest.mark.parametrize("path", [None, "", 3, b"x", ["x"]])
def test_no_path(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="path of a file"):
        PasswordFile(path)


def test_a_path_with_a_null() -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        PasswordFile("a\0b")()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666, 0o600, 0o400, 0o620, 0o611])
def test_others_may_read_it(
    mode: int, password_file: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source = password_file(SECRET.encode(), mode)
    assert source() == source() == SECRET.encode()
    warned = [record.getMessage() for record in caplog.records]
    if mode & 0o044:
        assert [f"{source.path} (mode {mode:04o})" in message for message in warned] == [True]
        assert caplog.records[0].levelno == logging.WARNING
    else:
        assert warned == []
    assert SECRET not in caplog.text


def test_a_pipe(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"secret\n")
        os.close(writing)
        assert PasswordFile(f"/dev/fd/{reading}")() == b"secret"  # as a shell's <(...)
    finally:
        os.close(reading)
    assert caplog.text == ""


# --- environment variables


def test_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    source = PasswordVariable("LDAP_PW")
    monkeypatch.setenv("LDAP_PW", " é ")
    credentials = Credentials.choose(SIMPLE, source)
    assert credentials.password() == " é ".encode()
    monkeypatch.setenv("LDAP_PW", "another")
    assert credentials.password() == b"another"
    monkeypatch.setitem(os.environb, b"LDAP_PW", b"\xff")
    assert source() == b"\xff"
    assert repr(source) == "PasswordVariable(name='LDAP_PW')"


@pytest.mark.parametrize(("value", "state"), [(None, "not set"), ("", "empty")])
def test_no_variable(value: str | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LDAP_PW", raising=False)
    if value is not None:
        monkeypatch.setenv("LDAP_PW", value)
    with pytest.raises(ConfigurationError, match=f"LDAP_PW.* is {state}"):
        PasswordVariable("LDAP_PW")()


# --- functions


def test_a_function_is_asked_at_each_bind() -> None:
    answers: list[str | bytes] = ["first", b"\xff", "é"]
    credentials = Credentials.choose(SIMPLE, lambda: answers.pop(0))
    assert len(answers) == 3  # not before
    assert credentials.password() == b"first"
    assert credentials.password() == b"\xff"
    assert credentials.password() == "é".encode()


class VaultError(Exception):
    """What the user's function may raise."""


def test_what_a_function_raises_goes_through() -> None:
    error = VaultError("sealed")

    def ask() -> str:
        raise error

    credentials = Credentials.choose(SIMPLE, ask)
    with pytest.raises(VaultError) as caught:
        credentials.password()
    assert caught.value is error
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize("empty", ["", b""])
def test_an_empty_answer(empty: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'cn=a' is empty.*RFC 4513"):
        Credentials.choose(SIMPLE, lambda: empty).password()
    with pytest.raises(ConfigurationError, match="'ann' is empty"):
        Credentials.choose(SCRAM, lambda: empty, sasl_user="ann").password()


@pytest.mark.parametrize("answer", [None, 3, [SECRET], bytearray(b"x"), f"{SECRET}\udc80"])
def test_an_answer_that_is_no_password(answer: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"it is a {type(answer).__name__}") as caught:
        Credentials.choose(SIMPLE, lambda: answer).password()
    assert SECRET not in everything_said(caught.value)


def test_a_password_that_cannot_be_encoded_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="lone surrogates") as caught:
        Credentials.choose(SIMPLE, f"{SECRET}\udc80")
    assert SECRET not in everything_said(caught.value)


# --- what goes together


def test_the_url_goes_first() -> None:
    own = parse("ldap://h/dc=x????bindname=cn=a,X-BINDPW=own")
    for password in (None, "", "pw", lambda: "pw"):
        assert Credentials.choose(own, password).password() == b"own"


@pytest.mark.parametrize("password", [None, "", b""])
def test_a_name_without_a_password(password: Any) -> None:
    with pytest.raises(LDAPUrlError, match="'cn=a' without a password"):
        Credentials.choose(SIMPLE, password)
    with pytest.raises(LDAPUrlError, match="'SCRAM-SHA-256' without a password"):
        Credentials.choose(SCRAM, password, sasl_user="ann")


@pytest.mark.parametrize("password", ["pw", b"pw", lambda: "pw", PasswordVariable("X")])
def test_a_password_without_a_name(password: Any) -> None:
    with pytest.raises(ConfigurationError, match="a password without a name"):
        Credentials.choose(ANONYMOUS, password)


def test_a_password_without_a_name_in_the_url() -> None:
    with pytest.raises(ConfigurationError, match="a password without a name") as caught:
        Credentials.choose(parse(f"ldap://h/dc=x????X-BINDPW={SECRET}"))
    assert SECRET not in everything_said(caught.value)


@pytest.mark.parametrize("password", [3, ["pw"], object(), Path("/etc/passwd")])
def test_bad_passwords(password: Any) -> None:
    with pytest.raises(ConfigurationError, match="password is a str, a PasswordFile") as caught:
        Credentials.choose(SIMPLE, password)
    assert "etc" not in str(caught.value)


def nobody_asks_me() -> str:
    raise AssertionError


@pytest.mark.parametrize(
    ("url", "user", "mechanism", "uses", "shows"),
    [
        (ANONYMOUS, None, None, False, False),
        (SIMPLE, None, None, True, True),
        (EXTERNAL, None, "EXTERNAL", False, False),
        (GSSAPI, None, "GSSAPI", False, False),
        (SCRAM, "ann", "SCRAM-SHA-256", True, False),
    ],
)
def test_ways_to_bind(url: Any, user: Any, mechanism: Any, uses: bool, shows: bool) -> None:
    password = None if url is ANONYMOUS else nobody_asks_me
    credentials = Credentials.choose(url, password, sasl_user=user)
    assert credentials.mechanism == mechanism
    assert credentials.bindname == ("cn=a" if url is SIMPLE else None)
    assert (credentials.uses_password, credentials.shows_password) == (uses, shows)
    if not uses:
        assert credentials.password() == b""


@pytest.mark.parametrize(
    ("url", "arguments", "reason"),
    [
        (SCRAM, {}, "wants a user name"),
        (SIMPLE, {"sasl_user": "ann"}, "sasl_user is for"),
        (EXTERNAL, {"sasl_user": "ann"}, "sasl_user is for"),
        (SIMPLE, {"authzid": "u:ann"}, "authzid is for"),
        (SCRAM, {"sasl_user": ""}, "sasl_user is a str"),
        (SCRAM, {"sasl_user": b"ann"}, "sasl_user is a str"),
        (SCRAM, {"sasl_user": "a\0n"}, "sasl_user is a str"),
        (SCRAM, {"sasl_user": "ann", "authzid": ""}, "authzid is a str"),
        (GSSAPI, {"authzid": 3}, "authzid is a str"),
    ],
)
def test_bad_sasl_arguments(url: Any, arguments: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Credentials.choose(url, "pw", **arguments)


@pytest.mark.parametrize("name", SASL_MECHANISMS)
def test_an_authorization_identity(name: str) -> None:
    url = parse(f"ldap://h/dc=x????bindname={name.lower()}")
    user = "ann" if name.startswith("SCRAM") else None
    credentials = Credentials.choose(url, "pw", user, "u:ben")
    assert (credentials.mechanism, credentials.authzid) == (name, "u:ben")


def test_credentials_do_not_show_the_password() -> None:
    credentials = Credentials.choose(SIMPLE, SECRET)
    for shown in (repr(credentials), str(credentials), f"{[credentials]}"):
        assert SECRET not in shown
    assert credentials == Credentials.choose(SIMPLE, "another")
    with pytest.raises(AttributeError):
        credentials.bindname = "cn=b"  # type: ignore[misc]
