# SPDX-License-Identifier: BSD-3-Clause
"""The status page of ``run``: what is asked for, what is shown, and what a browser makes of it."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Callable

import pytest
from prometheus_client import CollectorRegistry

from syncrepl_client import Changelog
from syncrepl_client.cli.service import page, plot, view
from syncrepl_client.cli.service.samples import BARS, Bar, Samples
from syncrepl_client.cli.service.view import View
from syncrepl_client.cli.service.web import Server, Site
from syncrepl_client.engine.stats import CONNECTING, Stats
from syncrepl_client.testing import Feed
from tests.cli.commands import ROOT
from tests.cli.test_run import ENTRIES, Config, modify
from tests.faults.test_relay_kills import wait_for
from tests.servers import Slapd
from tests.servers.chromium import Chromium
from tests.servers.missing import needs_httpx
from tests.servers.process import free_port
from tests.servers.receiver import Receiver
from tests.unit.sinks.sinks import dn, logging_feed

EVIL = (
    "<script>document.title='evil'</script>", "\"><img src=x onerror=document.title='evil'>",
    "</pre></section>", "&amp;&lt;", "javascript:alert(1)", "a\u202eb\nc\x1b[31m", "'{{7*7}}",
)  # fmt: skip
"""Values, and parts of DNs, of somebody who means no good."""
STATS = Stats("persist", 4, CONNECTING.changes, 1, 0, 0, None, 0.5)
NOW = datetime(2026, 11, 29, 8, 0, tzinfo=timezone.utc)


FAILING = f"""\
from syncrepl_client.sinks import Answer, Sink


class Failing(Sink):
    def deliver(self, messages):
        return [Answer.failed({EVIL[1]!r}) for _ in messages]
"""


def escaped(value: str) -> str:
    """A value in a DN (RFC 4514)."""
    return "".join(f"\\{octet:02x}" for octet in value.encode())


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    with logging_feed(tmp_path) as feed:
        yield feed


def shown(place: Path, *, values: bool = False, **more: Any) -> str:
    """The page of one stream."""
    found = view.read(str(place), values=values)
    bars = [Bar(None, False)] * BARS
    made = View("people", "ldap://h/dc=x??sub", STATS, True, None, bars, {}, found)
    return page.render([replace(made, **more)], NOW)


class Texts(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "wbr", "line", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


# --- what is shown


def test_values_are_hidden_unless_allowed(feed: Feed, tmp_path: Path) -> None:
    feed.modify(dn("a"), {"mail": ["ada@example.com", "b@example.com"], "entryCSN": ["1"]})
    feed.modify(dn("a"), {"mail": ["c@example.com"]})
    feed.commit()
    hidden, open_ = shown(tmp_path), shown(tmp_path, values=True)
    assert "example.com" not in hidden
    assert "entryCSN" not in open_
    assert "+ mail: 2 values" in hidden
    assert "~ mail: 1 value added, 2 removed" in hidden
    for line in ("- mail: ada@example.com", "+ mail: c@example.com"):
        assert line in open_
    assert page.name(dn("a")) in hidden


def test_what_the_log_leaves_out_is_never_shown(tmp_path: Path) -> None:
    with logging_feed(tmp_path, Changelog()) as feed:
        feed.modify(dn("a"), {"userPassword": ["hunter2"]})
        feed.commit()
        found = shown(tmp_path, values=True)
    assert "hunter2" not in found
    assert "userPassword: changed, its values are not in the log" in found


def test_long_and_binary_values(feed: Feed, tmp_path: Path) -> None:
    feed.modify(dn("a"), {"jpegPhoto": [b"\xff\xd8"], "description": ["x" * 1000]})
    feed.modify(dn("b"), {"member": [f"cn={number}" for number in range(500)]})
    feed.commit()
    found = shown(tmp_path, values=True)
    assert "jpegPhoto: octets that are not text" in found
    assert f"{'x' * 160}\N{HORIZONTAL ELLIPSIS}" in found
    assert found.count("cn=") < 60
    assert "and 1 more line\n" in found.replace("</", "\n</")


@pytest.mark.parametrize("values", [False, True])
def test_nothing_of_a_directory_is_markup(feed: Feed, tmp_path: Path, values: bool) -> None:
    plain = Texts(shown(tmp_path, values=values))
    tags = {tag for tag, _ in plain.elements} | {
        "pre", "span", "wbr", "details", "summary", "p", "ul", "strong"
    }  # fmt: skip
    for evil in EVIL:
        feed.add(f"cn={escaped(evil)},dc=feed", {"cn": [evil], "description": [evil]})
        feed.rename(f"cn={escaped(evil)},dc=feed", f"cn=x{escaped(evil)},dc=feed")
    feed.commit()
    log = feed.store.changelog
    log.sinks.add("crm")
    log.sinks.park("crm", log.newest, log.events(log.newest - 1)[0].change.uuid.bytes, EVIL[0])  # type: ignore[union-attr]
    html = shown(tmp_path, values=values, name=EVIL[0], search=EVIL[1], error=EVIL[2],
                 failing={EVIL[0]: EVIL[1]})  # fmt: skip
    found = Texts(html)
    assert {tag for tag, _ in found.elements} <= tags
    assert found.open == []
    for _, attributes in found.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert set(attributes.get("href") or "") <= set("abcdefghijklmnopqrstuvwxyz.")
    assert EVIL[0] in found.text
    assert all(each.isprintable() or each == "\n" for each in found.text)


def test_the_sinks(feed: Feed, tmp_path: Path) -> None:
    sinks = feed.store.changelog.sinks
    sinks.add("crm", 0, snapshot=True)
    sinks.add("old", 0)
    sinks.move("old", 5, lost=7)
    for seq in range(2, 6):
        uuid = feed.store.changelog.events(seq - 1)[0].change.uuid.bytes  # type: ignore[union-attr]
        sinks.park("crm", seq, uuid, "no poison")
    sinks.release("crm")
    text = Texts(shown(tmp_path, failing={"crm": None, "new": "nobody answers"})).text
    for expected in ("5 behind, ", "4 parked", "snapshot: 0 sent", "7 lost", "not begun",
                     "nobody answers", "not sent to by this service", "no poison (released)",
                     "changes lost", "1 sink failing", "1 of 1 stream in step"):  # fmt: skip
        assert expected in text


def test_a_store_without_a_log_and_none(tmp_path: Path) -> None:
    assert 'class="error"' not in shown(tmp_path)  # it was never connected
    (tmp_path / "syncrepl.sqlite3").write_text("something else")
    assert "is not a data store" in shown(tmp_path) or "not a database" in shown(tmp_path)
    (tmp_path / "syncrepl.sqlite3").unlink()
    with Feed(None, store="sqlite", data_path=f"{tmp_path}/") as feed:
        feed.refresh_done()
        found = shown(tmp_path)
    assert "Last changes" not in found
    assert 'class="error"' not in found


def test_the_lag_of_an_hour() -> None:
    samples = Samples()
    for number in range(721):
        lag = 2.0 if number == 400 else 0.1
        commits = number // 2  # every second time nothing was changed
        stage = "disconnected" if number == 100 else "persist"
        samples.add(number * 10.0, replace(STATS, lag=lag, commits=commits, stage=stage))
    bars = samples.bars(7200.0)
    assert len(bars) == BARS
    assert [bar.lag for bar in bars].count(2.0) == 1
    assert {bar.lag for bar in bars} == {0.1, 2.0}
    assert not any(bar.away for bar in bars)  # that is more than an hour ago
    samples.add(7210.0, replace(STATS, stage="failed", commits=360))
    assert [bar.away for bar in samples.bars(7210.0)].count(True) == 1
    drawn = plot.lag(samples.bars(7210.0))
    assert drawn.count('class="bar"') == BARS
    assert drawn.count('class="away"') == 1
    assert "greatest lag of a change 2.0 s" in drawn
    assert "no change" in plot.lag([Bar(None, False)])


# --- who may ask


@contextmanager
def served(page: Callable[[], str] | None = lambda: "hello", **more: Any) -> Iterator[Server]:
    site = Site(CollectorRegistry(), page, frozenset(["status.example.com"]), is_local=True)
    with Server("127.0.0.1", 0, replace(site, **more)) as server:
        yield server


def ask(
    server: Server, path: str = "/", method: str = "GET", host: str | None = "localhost"
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


@pytest.mark.parametrize(("host", "status"), [
    ("localhost", 200), ("localhost:9400", 200), ("LOCALHOST.", 200), ("127.0.0.1:9400", 200),
    ("[::1]:9400", 200), ("status.example.com", 200), ("Status.Example.com:80", 200),
    ("evil.example.com", 421), ("evil.example.com:9400", 421), ("localhost.evil.com", 421),
    ("127.0.0.1.evil.com", 421), ("localhost@evil.com", 421), ("", 421), (None, 421),
    ("evil.com, localhost", 421), ("[localhost]", 421),
])  # fmt: skip
def test_the_name_of_the_host(host: str | None, status: int) -> None:
    with served() as server:
        for path in ("/", "/metrics", "/style.css"):
            assert ask(server, path, host=host)[0].status == status


def test_metrics_for_others_need_no_name() -> None:
    with served(is_local=False) as server:
        assert ask(server, "/metrics", host="prometheus-target.example.com")[0].status == 200
        assert ask(server, "/", host="evil.example.com")[0].status == 421


@pytest.mark.parametrize(("path", "method", "status", "kind"), [
    ("/", "GET", 200, "text/html; charset=utf-8"), ("/?x=1", "GET", 200, "text/html; charset="),
    ("/style.css", "GET", 200, "text/css; charset=utf-8"), ("/metrics", "GET", 200, "text/plain"),
    ("/", "HEAD", 200, "text/html; charset=utf-8"), ("/", "POST", 501, "text/plain"),
    ("/../../etc/passwd", "GET", 404, "text/plain"), ("/<script>", "GET", 404, "text/plain"),
    ("//evil.com/", "GET", 404, "text/plain"),
])  # fmt: skip
def test_answers(path: str, method: str, status: int, kind: str) -> None:
    with served() as server:
        answer, body = ask(server, path, method)
    assert (answer.status, answer.headers["Content-Type"][: len(kind)]) == (status, kind)
    assert b"<script>" not in body
    assert (body == b"") == (method == "HEAD" or path == "/metrics")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "syncrepl-client"


def test_no_page_but_metrics() -> None:
    with served(None) as server:
        assert ask(server)[0].status == 404
        assert ask(server, "/style.css")[0].status == 404
        assert ask(server, "/metrics")[0].status == 200


def test_a_fault_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> str:
        raise RuntimeError("broken")

    with served(broken) as server:
        with pytest.raises(http.client.RemoteDisconnected):
            ask(server)
        assert ask(server, "/metrics")[0].status == 200
    assert "broken" in caplog.text


# --- in a browser


@needs_httpx
def test_in_a_browser(server: Slapd, tmp_path: Path) -> None:
    config = Config(tmp_path, free_port())
    config.stream("people", server.url)
    config.stream("branch", "ldap://127.0.0.1:1")
    config.service.update(values=True, drain=1)
    (tmp_path / "own.py").write_text(FAILING)
    with Receiver() as receiver, Chromium(tmp_path / "profile") as browser:
        config.sink("people", "crm", receiver)
        config.sink("people", "away", receiver, url=f"http://127.0.0.1:{free_port()}/hook")
        config.streams["people"]["sink"]["evil"] = {"kind": "own:Failing", "begin": "start"}
        path = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
        with config.running(**path) as command, server.connected() as connection:
            wait_for(receiver, 1)
            for number, evil in enumerate(EVIL[:3]):
                name = f"cn={number}{escaped(evil)},ou=people,{server.suffix}"
                attributes = {"objectClass": [b"person"], "cn": [f"{number}{evil}".encode()],
                              "sn": [evil.encode()]}  # fmt: skip
                connection.add_s(name, list(attributes.items()))
            wait_for(receiver, ENTRIES + 3)
            url = f"http://localhost:{config.port}/"
            browser.open(url, 800, 600)
            soon = "document.querySelector('.away') && document.querySelectorAll('li .error')[1]"
            while not browser.evaluate(f"Boolean({soon})"):
                browser.open(url, 800, 600)  # nothing was sampled yet, or sent
            for width, scheme, back in (
                (1100, "light", "rgb(245, 246, 248)"), (390, "dark", "rgb(18, 22, 28)"),
            ):  # fmt: skip
                browser.open(url, width, 1400, scheme)
                look(browser, width, back)
                if os.environ.get("SCREENSHOTS"):
                    browser.screenshot(Path(os.environ["SCREENSHOTS"], f"{width}.png"))
            assert browser.complaints == []
            receiver.stop()  # the one that worked
            modify(server, "new@example.com")
            while browser.evaluate("document.querySelectorAll('li .error').length") < 3:
                browser.open(url, 800, 600)
            assert "3 sinks failing" in browser.evaluate("document.body.innerText")
            assert command.stop() == 0


def look(browser: Chromium, width: int, back: str) -> None:
    """Check what the browser has made of the page."""
    assert browser.evaluate("document.title") == "syncrepl-client"
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == back
    assert browser.evaluate("document.documentElement.scrollWidth") == width  # all is in view
    assert browser.evaluate("document.scripts.length + document.images.length") == 0
    names = "[...document.querySelectorAll('h2')].map(each => each.textContent)"
    assert browser.evaluate(names) == ["branch", "people"]  # what needs somebody comes first
    assert browser.evaluate("document.querySelectorAll('section').length") == 2
    text = browser.evaluate("document.body.innerText")
    assert "1 of 2 streams in step" in text
    assert "2 sinks failing" in text
    row = "[...document.querySelectorAll('li')].find(each => each.textContent.startsWith('{}'))"
    for name, reason in (("away", "Connection refused"), ("evil", EVIL[1])):
        shown = browser.evaluate(f"{row.format(name)}.innerText")
        assert "failing" in shown
        assert reason in shown
    assert "failing" not in browser.evaluate(f"{row.format('crm')}.innerText")
    assert all(f"+ sn: {evil}" in text for evil in EVIL[:3])
    size = "document.querySelector('.plot').getBoundingClientRect()"
    assert browser.evaluate(f"{size}.width") > width / 2
    assert browser.evaluate(f"{size}.height") > 20
    visible = "[...document.querySelectorAll('.dn')].every(each => each.offsetWidth > 0)"
    assert browser.evaluate(visible)
