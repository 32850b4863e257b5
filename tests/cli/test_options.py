# SPDX-License-Identifier: BSD-3-Clause
"""What is said on the command line, and what can't be said."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click
import ldap
import pytest
from click.testing import CliRunner

from syncrepl_client import PasswordFile, PasswordVariable
from syncrepl_client.cli import options, parameters
from syncrepl_client.cli.group import group
from syncrepl_client.cli.target import Target
from tests.servers.people import SUFFIX

URI = "ldap://127.0.0.1:1"
SEARCH = ("-H", URI, "-b", SUFFIX)
URL = f"{URI}/{SUFFIX}??sub"
READER = f"cn=reader,{SUFFIX}"

pytestmark = pytest.mark.usefixtures("quiet_logging")


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNCREPL_PASSWORD", raising=False)


def chosen(*arguments: str) -> Target:
    """The target that a subcommand with these arguments gets."""
    found: list[Target] = []

    @click.command
    @options.search(data_required=False)
    def command(target: Target) -> None:
        found.append(target)

    command.main(list(arguments), standalone_mode=False)
    return found[0]


def test_a_url_and_options_say_the_same() -> None:
    by_url = chosen(f"{URI}/{SUFFIX}?cn,mail?sub?(uid=*)")
    by_options = chosen(*SEARCH, "uid=*", "cn", "mail")
    assert by_url == by_options
    assert by_options == chosen(*SEARCH, "-s", "sub", "(uid=*)", "cn", "mail")
    assert by_options.arguments == {
        "data_path": "",
        "ldap_url": f"{URI}/{SUFFIX}?cn,mail?sub?(uid=*)",
        "starttls": False,
        "store": "memory",
        "options": {},
        "password": None,
        "sasl_user": None,
        "authzid": None,
    }


def test_a_first_word_without_an_equals_sign_is_an_attribute() -> None:
    assert chosen(*SEARCH, "cn").url.attributes == ("cn",)
    assert chosen(*SEARCH, "cn").url.matches_all


def test_several_servers() -> None:
    both = (URI, "ldaps://127.0.0.1:2")
    assert chosen("-H", "ldap://127.0.0.1:1/ ldaps://127.0.0.1:2", "-b", SUFFIX).url.servers == both
    assert chosen(URL, "ldaps://127.0.0.1:2").url.servers == both


def test_who_binds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    bound = chosen(*SEARCH, "-D", READER, "-y", str(file))
    assert bound.url.bindname == READER
    assert isinstance(bound.password, PasswordFile)
    scram = (*SEARCH, "-Y", "scram-sha-256", "-U", "reader", "-X", "u:other")
    monkeypatch.setenv("SYNCREPL_PASSWORD", "secret")
    bound = chosen(*scram)
    assert (bound.url.mechanism, bound.sasl_user, bound.authzid) == (
        "SCRAM-SHA-256", "reader", "u:other",
    )  # fmt: skip
    assert bound.password == PasswordVariable("SYNCREPL_PASSWORD")
    assert chosen(*SEARCH).password is None  # nobody binds
    assert chosen(*SEARCH, "-Y", "EXTERNAL").password is None
    assert chosen(f"{URL}??bindname=GSSAPI").url.mechanism == "GSSAPI"


def test_a_target_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: "secret")
    target = chosen(*SEARCH, "-D", READER, "-W")
    assert target.password == "secret"
    assert "secret" not in repr(target)


def test_files_for_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    target = chosen(*SEARCH, "-Z", "--cacert", "ca", "--cert", "cert", "--key", "key")
    assert target.starttls
    assert target.options == {
        ldap.OPT_X_TLS_CACERTFILE: f"{tmp_path}/ca",
        ldap.OPT_X_TLS_CERTFILE: f"{tmp_path}/cert",
        ldap.OPT_X_TLS_KEYFILE: f"{tmp_path}/key",
    }


BIND = ("-D", READER)
BAD: list[tuple[tuple[str, ...], str]] = [
    ((), "Say what to follow"),
    (("-H", URI), "Say what to follow"),
    (("-H", URI, "uid=*"), "Say where to search: -b BASE"),
    (("-b", SUFFIX), "Say which server: -H ldap://HOST"),
    (("-H", URI, "-b", "nonsense"), "-b takes a DN"),
    (("-H", URI, "-b", ""), "-b takes a DN"),
    (("-H", "127.0.0.1", "-b", SUFFIX), "-H takes ldap://HOST"),
    (("-H", "", "-b", SUFFIX), "-H takes ldap://HOST"),
    (("-H", URL, "-b", SUFFIX), "-H takes a server alone"),
    ((URL, "-b", SUFFIX, "-H", URI), "The URL says what -H and -b would"),
    ((URL, "-s", "sub"), "The URL says what -s would"),
    ((URL, "(uid=*)"), "A URL has the filter and the attributes in it"),
    ((URI,), "no search base"),
    ((f"{URI}/{SUFFIX}??subtree",), "ldap_url cannot be understood"),
    ((f"{URL}??bindname={READER.replace(',', '%2C')},X-BINDPW=hush",), "seen by everybody"),
    ((f"{URL}?X-BINDPW=hush",), "X-BINDPW before its extensions"),
    ((*SEARCH, "-W"), "A password is for somebody"),
    ((*SEARCH, "-y", __file__), "A password is for somebody"),
    ((*SEARCH, "-Y", "EXTERNAL", "-W"), "A password is for somebody"),
    ((*SEARCH, *BIND), f"There is no password for {READER}"),
    ((*SEARCH, *BIND, "-W", "-y", __file__), "-W and -y exclude each other"),
    ((*SEARCH, *BIND, "-y", "/nowhere/at/all"), "does not exist"),
    ((*SEARCH, *BIND, "-Y", "GSSAPI"), "-D and -Y exclude each other"),
    ((*SEARCH, "-x", "-Y", "GSSAPI"), "-x and -Y exclude each other"),
    ((*SEARCH, "-Y", "PLAIN"), "-Y takes one of"),
    ((*SEARCH, "-Y", "SCRAM-SHA-256"), "wants a user name: -U USER"),
    ((*SEARCH, "-U", "me"), "-U is for"),
    ((*SEARCH, "-X", "u:me"), "-X is for SASL"),
    ((*SEARCH, "--cert", __file__), "--cert needs the key"),
    ((*SEARCH, "--key", __file__), "--key needs its certificate"),
    ((*SEARCH, "--change-search"), "--change-search is for --data"),
    (("ladp://h/dc=x",), "ladp:// is not an LDAP URL"),
    ((*SEARCH, b"(cn=\xff)".decode(errors="surrogateescape")), "no UTF-8"),
    (("--data", "."), "There is no data store yet that knows it"),
    ((*SEARCH, "--new", "--once"), "--new and --once together show nothing"),
    ((*SEARCH, "--exec-retries", "3"), "--exec-retries is for --exec"),
    ((*SEARCH, "--format", "json", "--brief"), "--brief is for --format text"),
    ((*SEARCH, "--format", "xml"), "'xml' is not one of"),
    ((*SEARCH, "--max-deletes", "101%"), "write 50, 10% or none"),
    ((*SEARCH, "--reconcile-every", "0"), "write 90, 15m, 6h, 1d or never"),
    ((*SEARCH, "--metrics", "loopback"), "has no port"),
    ((*SEARCH, "--exec", "/nowhere/at/all"), "there is no program"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda each: str(each)[:40])
def test_bad_combinations(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(group, ["watch", *arguments])
    said = re.sub(r"\s+", " ", done.output)
    assert message in said
    assert done.exit_code == 2
    assert "hush" not in said
    assert list(tmp_path.iterdir()) == []  # nothing was touched


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5m", 90), ("15M", 900), ("6h", 21600), ("1d", 86400), ("never", math.inf)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parameters.duration(text) == seconds


def test_max_deletes() -> None:
    read: list[Any] = [parameters.max_deletes(each) for each in ("50", "50%", "none")]
    assert read == [50, 0.5, None]
    assert [type(each) for each in read[:2]] == [int, float]


def test_addresses() -> None:
    assert parameters.address("9400") == ("127.0.0.1", 9400)
    assert parameters.address(":9400") == ("127.0.0.1", 9400)
    assert parameters.address("ldap.example:9400") == ("ldap.example", 9400)
    assert parameters.address("[::1]:9400") == ("::1", 9400)
