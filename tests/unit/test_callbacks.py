# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks: what is called, in which order, and what may be handed over."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from syncrepl_client.callbacks import BaseCallback, LoggingCallback, usable
from syncrepl_client.changes import Change, ChangeKind
from syncrepl_client.entries.attributes import Attributes
from syncrepl_client.exceptions import CallbackInvalid
from tests.unit.changes import change

OLD: Attributes = {"cn": [b"old"], "sn": [b"s"]}
NEW: Attributes = {"cn": [b"new"], "sn": [b"s"]}


class Recorder(BaseCallback):
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def record_add(self, dn: str, attrs: Attributes) -> None:
        self.heard.append(("add", dn, attrs))

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        self.heard.append(("change", dn, old_attrs, new_attrs))

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        self.heard.append(("rename", old_dn, new_dn))

    def record_delete(self, dn: str) -> None:
        self.heard.append(("delete", dn))

    def record_reference(self, old_urls: Sequence[str], new_urls: Sequence[str]) -> None:
        self.heard.append(("reference", list(old_urls), list(new_urls)))


@pytest.mark.parametrize(
    ("happened", "heard"),
    [
        (change(ChangeKind.ADD, None, "cn=a", None, NEW), [("add", "cn=a", NEW)]),
        (change(ChangeKind.MODIFY, "cn=a", "cn=a", OLD, NEW), [("change", "cn=a", OLD, NEW)]),
        (change(ChangeKind.RENAME, "cn=a", "cn=b", OLD, OLD), [("rename", "cn=a", "cn=b")]),
        (
            change(ChangeKind.RENAME, "cn=a", "cn=b", OLD, {"SN": [b"s"], "cn": [b"old"]}),
            [("rename", "cn=a", "cn=b")],
        ),
        (
            change(ChangeKind.RENAME, "cn=a", "cn=b", OLD, NEW),
            [("rename", "cn=a", "cn=b"), ("change", "cn=b", OLD, NEW)],
        ),
        (change(ChangeKind.DELETE, "cn=a", None, OLD), [("delete", "cn=a")]),
        (
            change(ChangeKind.REFERENCE, old={"ref": [b"ldap://a/", b"ldap://b/"]}, new=None),
            [("reference", ["ldap://a/", "ldap://b/"], [])],
        ),
        (
            change(ChangeKind.REFERENCE, new={"ref": ["ldap://é/".encode()]}),
            [("reference", [], ["ldap://é/"])],
        ),
    ],
    ids=lambda each: each.kind.value if isinstance(each, Change) else "",
)
def test_dispatch(happened: Change, heard: list[tuple[Any, ...]]) -> None:
    recorder = Recorder()
    recorder.dispatch(happened)
    assert recorder.heard == heard


def test_every_kind_is_dispatched() -> None:
    for kind in ChangeKind:
        recorder = Recorder()
        recorder.dispatch(change(kind, "cn=a", "cn=a", OLD, NEW))
        assert recorder.heard


def test_the_base_does_nothing() -> None:
    base = BaseCallback()
    for name, method in inspect.getmembers(BaseCallback, inspect.isfunction):
        if not name.startswith("_") and name != "dispatch":
            arguments = [None] * (len(inspect.signature(method).parameters) - 1)
            assert getattr(base, name)(*arguments) is None
    base.dispatch(change(ChangeKind.ADD, None, "cn=a", None, NEW))


def test_a_class_or_an_instance() -> None:
    recorder = Recorder()
    assert usable(recorder) is recorder
    assert isinstance(usable(Recorder), Recorder)


class Duck:
    """Not a BaseCallback, but it has every method."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_what_has_every_method_will_do() -> None:
    duck = Duck()
    assert usable(duck) is duck


class Half:
    record_add = record_change = record_rename = lambda *_: None
    record_delete = "no method"


@pytest.mark.parametrize("callback", [Half, Half()])
def test_missing_methods_are_named(callback: Any) -> None:
    with pytest.raises(CallbackInvalid) as caught:
        usable(callback)
    text = str(caught.value)
    for name in ("bind_complete", "record_delete", "refresh_done", "cookie_change",
                 "before_commit", "debug", "dispatch", "BaseCallback"):  # fmt: skip
        assert name in text
    assert "record_add" not in text
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("callback", [object(), print, "text", object])
def test_no_callback_at_all(callback: Any) -> None:
    with pytest.raises(CallbackInvalid, match="record_add"):
        usable(callback)


def test_a_class_that_wants_arguments() -> None:
    class Wanting(BaseCallback):
        def __init__(self, wanted: str) -> None:
            self.wanted = wanted

    with pytest.raises(TypeError, match="wanted"):
        usable(Wanting)
    assert usable(Wanting("it")).wanted == "it"


# --- the worked example


class Items(dict[str, Attributes]):
    """Fails where it is read."""

    def __iter__(self) -> Any:
        raise AssertionError("read eagerly")


def everything(callback: BaseCallback) -> None:
    items: Mapping[str, Attributes] = Items({"cn=a": {}})
    callback.bind_complete(None)
    callback.dispatch(change(ChangeKind.ADD, None, "cn=a", None, OLD))
    callback.dispatch(change(ChangeKind.RENAME, "cn=a", "cn=b", OLD, NEW))
    callback.dispatch(
        change(ChangeKind.MODIFY, "cn=b", "cn=b", NEW, {"sn": [b"s"], "mail": [b"m"]})
    )
    callback.dispatch(change(ChangeKind.DELETE, "cn=b", None, OLD))
    callback.dispatch(change(ChangeKind.REFERENCE, None, None, None, {"ref": [b"ldap://a/"]}))
    callback.refresh_done(items)
    callback.cookie_change(b"c\0")
    callback.before_commit()
    callback.debug("100 % done %s")


def test_logging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    everything(LoggingCallback())
    assert {name for name, _, _ in caplog.record_tuples} == {"syncrepl_client.changes"}
    said = [(level, text) for _, level, text in caplog.record_tuples]
    assert [text for level, text in said if level == logging.INFO] == [
        "add cn=a (cn, sn)",
        "rename cn=a -> cn=b",
        "change cn=b (cn)",
        "change cn=b (cn, mail)",
        "delete cn=b",
        "reference [] -> ['ldap://a/']",
        "refresh done, 1 entries",
    ]
    debug = [text for level, text in said if level == logging.DEBUG]
    assert len(debug) == len(said) - 7
    assert "100 % done %s" in debug
    assert "b'c\\x00'" in " ".join(debug)


def test_logging_names_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger = logging.getLogger("tests.own")
    logger.setLevel(logging.INFO)
    monkeypatch.setattr(logger, "handlers", [Handler()])
    LoggingCallback(logger).record_change(
        "cn=a", {"cn": [b"1", b"2"], "SN": [b"s"]}, {"cn": [b"2", b"1"], "sn": [b"s"], "c": [b"DE"]}
    )
    assert heard == ["change cn=a (c)"]


def test_values_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret: Attributes = {"userPassword": [b"s3cr3t"]}
    callback = LoggingCallback()
    callback.record_add("cn=a", secret)
    callback.record_change("cn=a", secret, {"userPassword": [b"t0ps3cr3t"]})
    assert "userPassword" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_what_is_logged_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    evil = "cn=a\n2026-11-28 INFO delete cn=b\x1b[2J\u202e"
    callback, attrs = LoggingCallback(), {evil: [b"x"]}
    callback.record_add(evil, attrs)
    callback.record_change(evil, attrs, {})
    callback.record_rename(evil, evil)
    callback.record_delete(evil)
    callback.record_reference([evil], [evil])
    callback.disconnected(OSError(evil))
    callback.cookie_change(evil.encode())
    callback.debug(evil)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 8
    assert all(each.isprintable() for each in said)
    assert said[3] == r"delete cn=a\n2026-11-28 INFO delete cn=b\x1b[2J\u202e"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("record_delet", "record_delete"), ("refresh_don", "refresh_done"), ("record_xyzzy", "")],
)
def test_a_method_that_is_never_called(name: str, meant: str) -> None:
    misspelt = type("Misspelt", (BaseCallback,), {name: lambda self, dn: None})
    with pytest.raises(CallbackInvalid, match=rf"{name}\(\) .* is never called") as caught:
        usable(misspelt)
    assert (f"did you mean {meant}()?" in str(caught.value)) is bool(meant)
