# SPDX-License-Identifier: BSD-3-Clause
"""The file of ``run``: what it may say, and which line is wrong where it is wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ldap
import pytest

from syncrepl_client import BaseCallback, Changelog, PasswordFile, PasswordVariable
from syncrepl_client.changelog.policy import SECRETS
from syncrepl_client.cli.service.document import Document, Invalid
from syncrepl_client.cli.service.settings import Settings, read
from syncrepl_client.entries.differences import OPERATIONAL
from syncrepl_client.sinks import Answer, Sink
from syncrepl_client.testing import Feed
from tests.cli.commands import run
from tests.servers.missing import needs, needs_httpx
from tests.servers.receiver import SECRET

URL = "ldap://localhost/dc=example,dc=com??sub"
STREAM = f'[stream.people]\nurl = "{URL}"\ndata = "state/"\n'
LOGGED = STREAM + 'log = "30d"\n'


class Own(Sink):
    def deliver(self, messages: Any) -> Any:
        return [Answer.accepted()] * len(messages)


def broken() -> Sink:
    raise RuntimeError("broken")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a file that has a password, one that has none, and a state."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.delenv("NOTHING", raising=False)
    for name, text in (("password", "hunter2\n"), ("empty", "")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "state").mkdir()
    return tmp_path


def settings(text: str) -> Settings:
    Path("c.toml").write_text(text, encoding="utf-8")
    return read("c.toml")


def mistakes(text: str | bytes) -> list[str]:
    octets = text if isinstance(text, bytes) else text.encode()
    Path("c.toml").write_bytes(octets)
    with pytest.raises(Invalid) as caught:
        read("c.toml")
    assert "hunter2" not in str(caught.value)
    return caught.value.lines


# --- what it may say


def test_the_least(place: Path) -> None:
    found = settings(STREAM)
    assert (found.listen, found.page, found.values, found.drain) == (None, None, False, 10.0)
    stream = found.streams["people"]
    assert stream.data_path == "state/"
    assert stream.arguments["ldap_url"].startswith("ldap://localhost/dc=example,dc=com??sub")
    assert stream.arguments["changelog"] is None
    assert type(stream.callback()) is BaseCallback
    assert stream.sinks == {}


def test_everything_of_a_stream() -> None:
    found = settings("""\
        [service]
        listen = "[::1]:9400"
        page = true
        hosts = ["status.example.com"]
        values = true
        drain = "1m"

        [stream.a]
        url = ["ldaps://one/dc=example,dc=com??sub", "ldaps://two"]
        data = "state/"
        bind_dn = "cn=reader,dc=example,dc=com"
        password_file = "password"
        cacert = "password"
        cert = "password"
        key = "password"
        heartbeat = 5
        reconcile_every = "never"
        max_deletes = "10%"
        lag_patience = "2m"
        initial = "silent"
        trust_persist = true
        callback = "tests.cli.test_run_config:BaseCallback"
        callback_retries = 3
        log = { keep = "1d", changes = 10, size = 1000, for_sinks = "2d", exclude = ["mail"], initial = "each" }

        [stream.b]
        url = "ldap://one/dc=example,dc=com??sub"
        data = "other-"
        starttls = true
        mechanism = "SCRAM-SHA-256"
        sasl_user = "me"
        authzid = "u:you"
        password_variable = "SECRET"
        max_deletes = 7
        change_search = true
        log = 90
        """)  # noqa: E501
    assert (found.listen, found.page, found.hosts) == (("::1", 9400), True, ("status.example.com",))
    assert (found.values, found.drain) == (True, 60.0)
    one, two = (stream.arguments for stream in found.streams.values())
    assert one["ldap_url"].split()[1] == "ldaps://two"
    assert "bindname=cn" in one["ldap_url"]
    assert isinstance(one["password"], PasswordFile)
    assert set(one["options"]) == {
        ldap.OPT_X_TLS_CACERTFILE, ldap.OPT_X_TLS_CERTFILE, ldap.OPT_X_TLS_KEYFILE
    }  # fmt: skip
    assert (one["heartbeat"], one["reconcile_every"], one["lag_patience"]) == (5, math.inf, 120)
    assert (one["max_deletes"], one["initial"], one["trust_persist"]) == (0.1, "silent", True)
    assert one["on_callback_error"].retries == 3
    log = one["changelog"]
    assert (log.keep.seconds, log.keep.changes, log.keep.size) == (86400, 10, 1000)
    assert (log.for_sinks.seconds, log.initial) == (172800, "each")
    assert log.exclude == {*SECRETS, "mail"}
    assert (two["starttls"], two["sasl_user"], two["authzid"]) == (True, "me", "u:you")
    assert "SCRAM-SHA-256" in two["ldap_url"]
    assert two["password"] == PasswordVariable("SECRET")
    assert (two["max_deletes"], two["change_search"]) == (7, True)
    assert two["changelog"] == Changelog(90)


@needs_httpx
def test_sinks() -> None:
    found = settings(
        LOGGED
        + """\
        [stream.people.sink.crm]
        url = "https://localhost/hook"
        secret_variable = "SECRET"
        begin = "snapshot"
        timeout = 3
        concurrency = 2
        leave_out = ["mail"]
        [stream.people.sink.own]
        kind = "tests.cli.test_run_config:Own"
        begin = "start"
        source = "urn:x"
        max_parked = 5
        batch = 7
        operational = true
        """
    )
    crm, own = found.streams["people"].sinks.values()
    assert repr(crm.make()) == "<Webhook at https://localhost>"
    assert crm.relay["snapshot"] is True
    assert crm.relay["leave_out"] == {*OPERATIONAL, "mail"}
    assert type(own.make()).__name__ == "Own"
    assert (own.relay["position"], own.relay["leave_out"], own.relay["batch"]) == (0, set(), 7)
    again = read("c.toml")
    assert again.streams == found.streams
    assert again.streams["people"].sinks == found.streams["people"].sinks
    Path("c.toml").write_text(Path("c.toml").read_text().replace("timeout = 3", "timeout = 4"))
    changed = read("c.toml").streams["people"]
    assert changed == found.streams["people"]  # the stream itself is the same
    assert changed.sinks["crm"] != crm
    assert changed.sinks["own"] == own


# --- what is wrong

WRONG = {
    "syntax": (STREAM + "log =\n", 4, "not TOML"),
    "twice": (STREAM + 'url = "x"\n', 4, "not TOML"),
    "unknown": (STREAM + "datta = 1\n", 4, "stream.people.datta: unknown key: did you mean data?"),
    "far": (STREAM + "xyzzy = 1\n", 4, "stream.people.xyzzy: unknown key"),
    "top": ("x = 1\n" + STREAM, 1, "x: unknown key"),
    "service": ("[service]\nlissen = 1\n" + STREAM, 2, "service.lissen: unknown key: did you mean"),
    "address": ('[service]\nlisten = "here"\n' + STREAM, 2, "service.listen: 'here' has no port"),
    "type": ('[service]\nvalues = "yes"\n' + STREAM, 2, "service.values: this is true or false"),
    "list": ('[service]\nhosts = "x"\n' + STREAM, 2, "service.hosts: this is a list of strings"),
    "duration": ('[service]\n\ndrain = "soon"\n' + STREAM, 3, "service.drain: 'soon' is no time"),
    "table": ("stream = 3\n", 1, "stream: this is a table"),
    "name": (STREAM + STREAM.replace("people", "'a b'").replace("state/", "b-"), 4,
             "stream.'a b': a name is"),
    "missing": ('[service]\ndrain = 5\n\n[stream.a]\ndata = "x"\n', 4, "stream.a: the key url is"),
    "url": (STREAM.replace("ldap:", "http:"), 2, "stream.people.url:"),
    "secret": (STREAM + 'password = "hunter2"\n', 4,
               "secrets are not written here: use password_file or password_variable"),
    "secret in URL": (STREAM.replace("??sub", "??sub??bindname=cn=x%2cdc=y,X-BINDPW=hunter2"), 2,
                      "stream.people.url: secrets are not written here"),
    "no file": (STREAM + 'bind_dn = "cn=x"\npassword_file = "nix"\n', 5, "password_file: the"),
    "empty": (STREAM + 'bind_dn = "cn=x"\npassword_file = "empty"\n', 5, "password_file: the"),
    "variable": (STREAM + 'bind_dn = "cn=x"\npassword_variable = "NOTHING"\n', 5, "NOTHING"),
    "both": (STREAM + 'password_file = "password"\npassword_variable = "SECRET"\n', 5, "one of"),
    "no password": (STREAM + 'bind_dn = "cn=x"\n', 1, "without a password"),
    "no name": (STREAM + 'password_file = "password"\n', 1, "a password without a name"),
    "no DN": (STREAM + 'bind_dn = "x"\n', 4, "stream.people.bind_dn: bind_dn is a DN"),
    "mechanism": (STREAM + 'mechanism = "PLAIN"\n', 4, "stream.people.mechanism: this is one of"),
    "two names": (STREAM + 'bind_dn = "cn=x"\nmechanism = "GSSAPI"\n', 5, "exclude each other"),
    "two names in URL": (STREAM.replace("??sub", "??sub??bindname=GSSAPI")
                         + 'bind_dn = "cn=x"\n', 4, "the URL has a bindname"),
    "cert": (STREAM + 'cert = "password"\n', 1, "cert and key belong together"),
    "cacert": (STREAM + 'cacert = "nix"\n', 4, "nix can't be read: No such file"),
    "deletes": (STREAM + 'max_deletes = "many"\n', 4, "'many' is no number"),
    "directory": (STREAM.replace("state/", "nix/x-"), 1, "stream.people: "),
    "log": (STREAM + "log = { keep = true }\n", 4, "stream.people.log.keep: this is a string"),
    "log key": (STREAM + 'log = {\n  keep = "1d",\n  sise = 3 }\n'.replace("\n ", ""), 4,
                "stream.people.log.sise: unknown key: did you mean size?"),
    "no log": (STREAM + '[stream.people.sink.x]\nkind = "tests.cli.test_run_config:Own"\n', 1,
               "sinks need a log"),
    "callback": (STREAM + 'callback = "json"\n', 4, "stream.people.callback: this is MODULE:NAME"),
    "no callback": (STREAM + 'callback = "json:loads"\n', 4, "json:loads: the callback"),
    "no module": (STREAM + 'callback = "nix:x"\n', 4, "No module named 'nix'"),
    "stores": (STREAM + STREAM.replace("people", "b").replace("state/", "./state"), 6,
               "stream.b.data: the stream people has its store there"),
    "schema": (STREAM + 'schema = "x"\n', 4, "only a PostgreSQL database has a schema"),
    "standby": (STREAM + "standby = true\n", 4, "standby: only a PostgreSQL database in data"),
    "lease": (STREAM + "lease = 30\n", 4, "lease: only a PostgreSQL database in data"),
    "short lease": (STREAM + 'lease = "1s"\n', 4, "lease: lease is 2 or more seconds"),
    "password of the database": (STREAM.replace("state/", "postgresql://me:pw@localhost:1/x"), 3,
                                 "secrets are not written here"),
    "kind": (LOGGED + '[stream.people.sink.x]\nurl = "ftp://h"\n', 6, "sink.x.url: this is one of"),
    "no kind": (LOGGED + '[stream.people.sink.x]\nkind = "fax"\nurl = "https://h"\n', 6,
                "sink.x.kind: this is one of"),
    "own": (LOGGED + '[stream.people.sink.x]\nkind = "tests.cli.test_run_config:broken"\n', 6,
            "sink.x.kind: tests.cli.test_run_config:broken: broken"),
    "no sink": (LOGGED + '[stream.people.sink.x]\nkind = "builtins:list"\n', 6,
                "sink.x.kind: builtins:list is no"),
    "begin": (LOGGED + '[stream.people.sink.x]\nkind = "tests.cli.test_run_config:Own"\n'
              'begin = "then"\n', 7, "sink.x.begin: this is one of 'now', 'start', 'snapshot'"),
    "batch": (LOGGED + '[stream.people.sink.x]\nkind = "tests.cli.test_run_config:Own"\n'
              "batch = 0\n", 7, "sink.x.batch: this is an integer, 1 or more"),
    "source": (LOGGED + '[stream.people.sink.x]\nkind = "tests.cli.test_run_config:Own"\n'
               'source = "a b"\n', 5, "stream.people.sink.x: source is a URI"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes(case: str) -> None:
    text, line, said = WRONG[case]
    (found,) = mistakes(text)
    assert found.startswith(f"c.toml:{line}: ")
    assert said in found


@needs_httpx
@pytest.mark.parametrize(("keys", "line", "said"), [
    ('url = "https://h"', 5, "the key secret_file or secret_variable is missing"),
    ('url = "https://h"\nsecret = "hunter2"\nsecret_variable = "SECRET"', 7, "use secret_file or"),
    ('url = "https://u:hunter2@h"\nsecret_variable = "SECRET"', 5, "password"),
    ('url = "https://h"\nsecret_file = "password"', 5, "whsec_"),
    ('url = "https://h"\nsecret_variable = "SECRET"\ntimeout = -1', 8, "a number above 0"),
])  # fmt: skip
def test_mistakes_of_a_webhook(keys: str, line: int, said: str) -> None:
    (found,) = mistakes(LOGGED + f"[stream.people.sink.crm]\n{keys}\n")
    assert found.startswith(f"c.toml:{line}: stream.people.sink.crm")
    assert said in found


def test_no_stream() -> None:
    assert mistakes("[service]\n") == ["c.toml: there is no stream: begin one with [stream.NAME]"]


def test_what_is_no_file() -> None:
    assert mistakes(b"\xff") == ["c.toml: it is not UTF-8"]
    assert mistakes("#" * 300_000) == ["c.toml: it has more than 262144 bytes"]
    with pytest.raises(Invalid, match="can't be read: Is a directory"):
        read(".")


def test_all_mistakes_at_once_in_order() -> None:
    found = mistakes("[stream.a]\nx = 1\ny = 2\n[service]\nz = 3\n")
    assert [line.split(":")[1] for line in found] == ["1", "1", "2", "3", "5"]


def test_a_store_of_another_search(place: Path) -> None:
    with Feed(BaseCallback(), store="sqlite", data_path="state/") as feed:
        feed.refresh_done()
    (found,) = mistakes(STREAM)
    assert "another search" in found or "differ" in found
    assert settings(STREAM + "change_search = true\n").streams


def test_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    (found,) = mistakes("[service]\nlisten = 9400\n" + STREAM)
    assert found.startswith("c.toml:2: service.listen: it needs prometheus_client")


def test_lines() -> None:
    """A key is found where it is, whatever stands around it."""
    Path("c.toml").write_text(
        '# [x]\n[a]\ntext = """\n[b]\nkey = 1\n"""\n\n# b\nkey = [\n  1,\n\n  2,\n]\n'
        'x.y.z = 1\n[a."b.c"]\n\nin = { line = 1 }\r\n[[many]]\nk = 1\n[[many]]\n[c.d]\ne = 1\n'
    )
    document = Document("c.toml")
    for path, line in (
        (("a",), 2), (("a", "text"), 3), (("a", "key"), 9), (("a", "x", "y", "z"), 14),
        (("a", "b.c"), 15), (("a", "b.c", "in", "line"), 17), (("many",), 18), (("c",), 21),
        (("c", "d", "e"), 22), (("a", "missing"), 2), (("missing",), 0), ((), 0),
    ):  # fmt: skip
        assert document.line_of(path) == line, path


def test_the_command_checks(place: Path) -> None:
    Path("c.toml").write_text(STREAM)
    done = run("run", "--check", "c.toml")
    assert done == (0, "", "")
    assert list(Path("state").iterdir()) == []
    Path("c.toml").write_text(STREAM + "x = 1\n")
    for arguments in (("--check",), ()):
        done = run("run", *arguments, "c.toml")
        assert done == (78, "", "c.toml:4: stream.people.x: unknown key\n")
    assert list(Path("state").iterdir()) == []


@needs("redis")
def test_another_kind() -> None:
    sink = "[stream.people.sink.bus]\n"
    keys = 'url = "redis://me@localhost/0"\nstream = "people"\nmaxlen = 10\n'
    found = settings(LOGGED + sink + keys + 'password_file = "password"\n')
    assert "redis://" in repr(found.streams["people"].sinks["bus"].make())
    assert mistakes(LOGGED + sink + keys.replace("stream =", "streem =")) == [
        "c.toml:5: stream.people.sink.bus: the key stream is missing",
        "c.toml:7: stream.people.sink.bus.streem: unknown key: did you mean stream?",
    ]
