# SPDX-License-Identifier: BSD-3-Clause
"""A callback that writes down what it hears, and mirrors the directory from that alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback
from tests.servers.scripted import Provider

Attributes = dict[str, list[bytes]]
Heard = tuple[Any, ...]

REFRESH_ONLY, PERSIST = SyncreplMode.REFRESH_ONLY, SyncreplMode.REFRESH_AND_PERSIST
CHANGES = ("add", "change", "rename", "delete", "reference")


class Recorder(BaseCallback):
    """Hears everything, in order.

    ``on["add"] = action`` calls ``action()`` at each add, after it was written down. A change
    that does not fit the mirror fails the test.
    """

    def __init__(self, mirror: Mapping[str, Attributes] | None = None) -> None:
        self.heard: list[Heard] = []
        self.on: dict[str, Callable[[], object]] = {}
        self.mirror: dict[str, Attributes] = dict(mirror or {})
        self.messages: list[str] = []

    def hear(self, what: str, *details: Any) -> None:
        self.heard.append((what, *details))
        self.on.get(what, bool)()

    def of(self, *kinds: str) -> list[Heard]:
        """What was heard of these kinds."""
        return [heard for heard in self.heard if heard[0] in kinds]

    @property
    def changes(self) -> list[Heard]:
        """The changes that were heard of."""
        return self.of(*CHANGES)

    @property
    def kinds(self) -> list[str]:
        """What was heard, without details."""
        return [heard[0] for heard in self.heard]

    def clear(self) -> None:
        self.heard.clear()

    # BaseCallback

    def bind_complete(self, ldap: Any) -> None:
        self.hear("bind", ldap)

    def record_add(self, dn: str, attrs: Attributes) -> None:
        assert dn not in self.mirror
        self.mirror[dn] = attrs
        self.hear("add", dn)

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        assert self.mirror[dn] == old_attrs
        assert old_attrs != new_attrs
        self.mirror[dn] = new_attrs
        self.hear("change", dn)

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        assert old_dn != new_dn
        attrs = self.mirror.pop(old_dn)
        assert new_dn not in self.mirror
        self.mirror[new_dn] = attrs
        self.hear("rename", old_dn, new_dn)

    def record_delete(self, dn: str) -> None:
        del self.mirror[dn]
        self.hear("delete", dn)

    def record_reference(self, old_urls: Sequence[str], new_urls: Sequence[str]) -> None:
        self.hear("reference", list(old_urls), list(new_urls))

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        self.hear("refresh_done", len(items))

    def cookie_change(self, cookie: bytes) -> None:
        self.hear("cookie", cookie)

    def before_commit(self) -> None:
        self.hear("commit")

    def debug(self, message: str) -> None:
        self.messages.append(message)


def contents(client: Syncrepl) -> dict[str, Attributes]:
    """What the client's store holds."""
    return dict(client.store.items().items())


def follow(
    provider: Provider,
    data_path: Path,
    callback: Any,
    mode: SyncreplMode = PERSIST,
    **options: Any,
) -> Syncrepl:
    """A client of a scripted provider that raises whatever happens, and deletes what it says."""
    url = f"{provider.url}/dc=example,dc=com??sub"
    options = {"reconnect": False, "max_deletes": None, **options}
    return Syncrepl(f"{data_path}/", callback, mode, url, **options)


def poll_until(client: Syncrepl, heard: Recorder, what: str, times: int = 1) -> None:
    """Poll until *what* was committed so often; the watchdog ends this where it never is."""
    while len(heard.of(what)) < times:
        assert client.poll(10)
