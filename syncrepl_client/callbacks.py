# SPDX-License-Identifier: BSD-3-Clause
"""What a program is told: subclass :class:`BaseCallback` and override what you need.

Every method is called inside the open transaction of the change that it tells of, before
that is committed.  What one raises goes through ``Syncrepl.poll()`` to its caller after the
transaction was rolled back, and the same change is reported again next time.
"""

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Optional

from . import attributes
from .changes import Change, ChangeKind
from .exceptions import CallbackInvalid
from .messages import Attributes as Attributes


class BaseCallback:
    """Told of everything; does nothing.

    DNs are ``str``, as the server wrote them.  Attributes are ``{str: [bytes, ...]}``, also as
    the server wrote them; they are the callback's to keep.
    """

    def bind_complete(self, ldap: Any) -> None:
        """Take part between bind and search; *ldap* is the python-ldap ``LDAPObject``.

        Called again after each reconnect, and until it returns.  An ``ldap.LDAPError`` that it
        raises there counts as one of the connection.
        """

    def disconnected(self, error: Exception) -> None:
        """Hear that the connection was lost to *error*; ``bind_complete`` follows a new one.

        Called where ``reconnect`` is on, also for each attempt that failed; outside of any
        transaction.
        """

    def record_add(self, dn: str, attrs: Attributes) -> None:
        """Hear of an entry that is new in the search's result."""

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        """Hear of an entry whose attributes changed; order and case of names don't count."""

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        """Hear of an entry with a new DN; ``record_change`` follows if attributes changed too.

        Entries below a renamed one are reported one by one, parents before children.
        """

    def record_delete(self, dn: str) -> None:
        """Hear of an entry that was deleted, or no longer matches."""

    def record_reference(self, old_urls: Sequence[str], new_urls: Sequence[str]) -> None:
        """Hear of a continuation reference (RFC 4511, 4.5.3) in the search's result.

        *old_urls* is empty where it is new, *new_urls* where it is gone.  Entries behind it
        are another search's: nothing is chased.
        """

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Hear that the store now equals the server's answer.

        *items* maps DN to attributes over the whole store; it is read lazily.  Called once
        at the end of every refresh, in the transaction that commits its cookie.
        """

    def cookie_change(self, cookie: bytes) -> None:
        """Hear of the cookie that is about to be committed, where it is another one."""

    def before_commit(self) -> None:
        """Flush what was queued: the last call before each commit.  Raise to refuse it."""

    def debug(self, message: str) -> None:
        """Hear what the client does.  What this raises is logged, and that is all."""

    def dispatch(self, change: Change) -> object:
        """Turn *change* into calls of the methods above.  Override it to get the whole change.

        What it returns matters with :class:`AsyncSyncrepl` only, which awaits it if it can be.
        """
        return dispatch(self, change)


class AsyncCallback:
    """Told of everything, by an :class:`AsyncSyncrepl`; does nothing.

    As :class:`BaseCallback`, but that all methods except ``debug`` are ``async``.
    """

    async def bind_complete(self, ldap: Any) -> None:
        """Take part between bind and search.  The calls of *ldap* block: use a thread for them."""

    async def disconnected(self, error: Exception) -> None:
        """Hear that the connection was lost to *error*."""

    async def record_add(self, dn: str, attrs: Attributes) -> None:
        """Hear of an entry that is new in the search's result."""

    async def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        """Hear of an entry whose attributes changed."""

    async def record_rename(self, old_dn: str, new_dn: str) -> None:
        """Hear of an entry with a new DN; ``record_change`` follows if attributes changed too."""

    async def record_delete(self, dn: str) -> None:
        """Hear of an entry that was deleted, or no longer matches."""

    async def record_reference(self, old_urls: Sequence[str], new_urls: Sequence[str]) -> None:
        """Hear of a continuation reference in the search's result."""

    async def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Hear that the store now equals the server's answer; *items* is read without waiting."""

    async def cookie_change(self, cookie: bytes) -> None:
        """Hear of the cookie that is about to be committed, where it is another one."""

    async def before_commit(self) -> None:
        """Flush what was queued: the last call before each commit.  Raise to refuse it."""

    def debug(self, message: str) -> None:
        """Hear what the client does.  What this raises is logged, and that is all."""

    async def dispatch(self, change: Change) -> None:
        """Turn *change* into calls of the methods above.  Override it to get the whole change."""
        outcome = dispatch(self, change)
        if isinstance(outcome, Awaitable):
            await outcome


def dispatch(callback: Any, change: Change) -> object:
    """Call the ``record_`` methods of *callback* that tell of *change*.

    Returns:
        what is to be awaited, if they are async.
    """
    kind, _, _, old_dn, new_dn, old, new = change
    old_dn, new_dn, old, new = old_dn or "", new_dn or "", old or {}, new or {}
    outcome: object = None
    if kind is ChangeKind.ADD:
        outcome = callback.record_add(new_dn, new)
    elif kind is ChangeKind.MODIFY:
        outcome = callback.record_change(new_dn, old, new)
    elif kind is ChangeKind.RENAME:
        outcome = callback.record_rename(old_dn, new_dn)
        if change.attrs_changed:
            if isinstance(outcome, Awaitable):
                return _change_after(outcome, callback, new_dn, old, new)
            outcome = callback.record_change(new_dn, old, new)
    elif kind is ChangeKind.DELETE:
        outcome = callback.record_delete(old_dn)
    elif callable(getattr(callback, "record_reference", None)):
        outcome = callback.record_reference(_urls(old), _urls(new))
    return outcome


async def _change_after(rename: Awaitable[object], callback: Any, *arguments: Any) -> None:
    await rename
    outcome = callback.record_change(*arguments)
    if isinstance(outcome, Awaitable):
        await outcome


def _urls(attrs: Attributes) -> Sequence[str]:
    return [url.decode() for url in attrs.get("ref", ())]


class LoggingCallback(BaseCallback):
    """Writes what it hears to a logger: changes as INFO, everything else as DEBUG.

    Attribute names are logged, their values are not: these are people's data.
    """

    def __init__(self, logger: Optional[logging.Logger] = None) -> None:
        """Log to *logger*; without one, to ``syncrepl_client.changes``."""
        self.logger = logger or logging.getLogger("syncrepl_client.changes")

    def bind_complete(self, ldap: Any) -> None:
        """Log it."""
        self.logger.debug("bound", extra={"event": "bound"})

    def disconnected(self, error: Exception) -> None:
        """Log the error."""
        self.logger.warning("disconnected: %s", error, extra={"event": "disconnected"})

    def record_add(self, dn: str, attrs: Attributes) -> None:
        """Log the DN and which attributes there are."""
        self.logger.info("add %s (%s)", dn, ", ".join(attrs), extra={"event": "add"})

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        """Log the DN and which attributes differ."""
        changed = ", ".join(attributes.changed(old_attrs, new_attrs))
        self.logger.info("change %s (%s)", dn, changed, extra={"event": "change"})

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        """Log both DNs."""
        self.logger.info("rename %s -> %s", old_dn, new_dn, extra={"event": "rename"})

    def record_delete(self, dn: str) -> None:
        """Log the DN."""
        self.logger.info("delete %s", dn, extra={"event": "delete"})

    def record_reference(self, old_urls: Sequence[str], new_urls: Sequence[str]) -> None:
        """Log the URLs."""
        self.logger.info(
            "reference %s -> %s", list(old_urls), list(new_urls), extra={"event": "reference"}
        )

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Log how many entries there are."""
        self.logger.info("refresh done, %d entries", len(items), extra={"event": "refresh-done"})

    def cookie_change(self, cookie: bytes) -> None:
        """Log the cookie."""
        self.logger.debug("cookie %r", cookie, extra={"event": "cookie"})

    def before_commit(self) -> None:
        """Log it."""
        self.logger.debug("commit", extra={"event": "commit"})

    def debug(self, message: str) -> None:
        """Log it."""
        self.logger.debug("%s", message, extra={"event": "debug"})


OPTIONAL = frozenset(("record_reference", "disconnected"))
"""What a callback that is no BaseCallback may do without."""

_METHODS = tuple(
    name for name in vars(BaseCallback) if not name.startswith("_") and name not in OPTIONAL
)


_CO_COROUTINE = 0x80
"""``inspect.CO_COROUTINE``: what ``async def`` makes of a function's code."""


def usable(callback: Any, *, awaits: bool = False) -> Any:
    """Return *callback*, made an instance where it is a class; for None, one that does nothing.

    Args:
        callback: an object, or a class, or None.
        awaits: whether its methods may be ``async``.

    Raises:
        CallbackInvalid: it lacks a method that is called, or one is ``async`` that must not be;
            the message names it.
    """
    callback = BaseCallback if callback is None else callback
    instance = callback() if isinstance(callback, type) else callback
    missing = [name for name in _METHODS if not callable(getattr(instance, name, None))]
    if missing:
        raise CallbackInvalid(
            f"the callback {instance!r} lacks {', '.join(missing)}: subclass BaseCallback"
        )
    for name in ("debug",) if awaits else (*_METHODS, *OPTIONAL):
        code = getattr(getattr(instance, name, None), "__code__", None)
        if code is not None and code.co_flags & _CO_COROUTINE:
            raise CallbackInvalid(
                f"{name}() of the callback {instance!r} is async: "
                + ("debug() can't be" if awaits else "use AsyncSyncrepl, which awaits it")
            )
    return instance
