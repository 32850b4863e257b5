# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks: subclass :class:`BaseCallback`, and override the methods that you need.

Every method that reports a change is called inside the open transaction of that change, before it
is committed.  An exception propagates through ``Syncrepl.poll()`` to its caller after the
transaction was rolled back, and the same change is reported again next time.
"""

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Optional, Protocol, Union

from .changes import Change, ChangeKind
from .entries import attributes
from .entries.attributes import Attributes as Attributes
from .entries.printable import printable
from .exceptions import CallbackInvalid

_ADD, _MODIFY = ChangeKind.ADD, ChangeKind.MODIFY


class BaseCallback:
    """A callback that does nothing.

    DNs are ``str``, as the server spells them.  Attributes are ``{str: [bytes, ...]}``, also as the
    server spells them; the callback may keep and modify them.
    """

    def bind_complete(self, ldap: Any) -> None:
        """Called after each bind, before the search; *ldap* is the python-ldap ``LDAPObject``.

        It is called again after each reconnect, and until it returns.  An ``ldap.LDAPError`` raised
        in it is treated as an error of the connection.
        """

    def disconnected(self, error: Exception) -> None:
        """Called when the connection was lost; ``bind_complete`` follows when there is a new one.

        Called if ``reconnect`` is on, also for each failed attempt; for each server that lacks
        changes of the store, with a LaggingServer; and if the connection to the database of a
        PostgreSQL store was lost, with a StoreLost.  Outside of any transaction.
        """

    def activated(self) -> None:
        """Called when this client has got a shared store, before ``bind_complete``.

        Called with ``standby`` only, and until it returns.  Outside of any transaction.
        """

    def deactivated(self) -> None:
        """Called when this client has lost the shared store, or is about to hand it over.

        Called after ``activated`` only: by the ``poll()`` that notices the loss, or that ends the
        search, and by a constructor that fails; not by ``unbind()``.  Outside of any transaction.
        """

    def record_add(self, dn: str, attrs: Attributes) -> None:
        """Called for an entry that is new in the search's result."""

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        """Called for an entry whose attributes changed; order and case of names don't count."""

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        """Called for a renamed entry; ``record_change`` follows if attributes changed too.

        Entries below a renamed one are reported one by one, parents before children.
        """

    def record_delete(self, dn: str) -> None:
        """Called for an entry that was deleted, or no longer matches."""

    def record_reference(self, old_urls: Sequence[str], new_urls: Sequence[str]) -> None:
        """Called for a continuation reference (RFC 4511, 4.5.3) in the search's result.

        *old_urls* is empty if it is new, *new_urls* if it is gone.  References are not followed:
        the entries behind them are not part of this search.
        """

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Called at the end of every refresh, when the store equals the server's answer.

        *items* maps DNs to attributes over the whole store, read lazily.  Called in the transaction
        that commits the cookie of the refresh.
        """

    def cookie_change(self, cookie: bytes) -> None:
        """Called with a cookie that is about to be committed, if it differs from the last one."""

    def before_commit(self) -> None:
        """Called last before each commit: flush queued output.  Raise to prevent the commit."""

    def debug(self, message: str) -> None:
        """Called with a message about what the client does.  Exceptions are logged and ignored."""

    def dispatch(self, change: Change) -> object:
        """Called with every change; calls the methods above.  Override it to get the whole change.

        The return value matters only with :class:`AsyncSyncrepl`, which awaits it if it is
        awaitable.
        """
        return dispatch(self, change)


class _AnyCallback(Protocol):
    """The methods that a callback must have, for type checkers: those of :class:`BaseCallback`.

    ``record_reference``, ``disconnected``, ``activated`` and ``deactivated`` are called if it has
    them.
    """

    def bind_complete(self, ldap: Any, /) -> object: ...
    def record_add(self, dn: str, attrs: Attributes, /) -> object: ...
    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes, /) -> object: ...
    def record_rename(self, old_dn: str, new_dn: str, /) -> object: ...
    def record_delete(self, dn: str, /) -> object: ...
    def refresh_done(self, items: Mapping[str, Attributes], /) -> object: ...
    def cookie_change(self, cookie: bytes, /) -> object: ...
    def before_commit(self) -> object: ...
    def debug(self, message: str, /) -> object: ...
    def dispatch(self, change: Change, /) -> object: ...


Callback = Union[_AnyCallback, type[_AnyCallback]]
"""The argument *callback* of a client: an object, or a class that is instantiated."""


class AsyncCallback:
    """A callback for :class:`AsyncSyncrepl` that does nothing.

    As :class:`BaseCallback`, but all methods except ``debug`` are ``async``.
    """

    async def bind_complete(self, ldap: Any) -> None:
        """Called after each bind, before the search.  Methods of *ldap* block: use a thread."""

    async def disconnected(self, error: Exception) -> None:
        """Called when the connection was lost to *error*."""

    async def activated(self) -> None:
        """Called when this client has got a shared store."""

    async def deactivated(self) -> None:
        """Called when it has lost that, or is about to hand it over."""

    async def record_add(self, dn: str, attrs: Attributes) -> None:
        """Called for an entry that is new in the search's result."""

    async def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        """Called for an entry whose attributes changed."""

    async def record_rename(self, old_dn: str, new_dn: str) -> None:
        """Called for a renamed entry; ``record_change`` follows if attributes changed too."""

    async def record_delete(self, dn: str) -> None:
        """Called for an entry that was deleted, or no longer matches."""

    async def record_reference(self, old_urls: Sequence[str], new_urls: Sequence[str]) -> None:
        """Called for a continuation reference in the search's result."""

    async def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Called when the store equals the server's answer; *items* is read synchronously."""

    async def cookie_change(self, cookie: bytes) -> None:
        """Called with a cookie that is about to be committed, if it differs from the last one."""

    async def before_commit(self) -> None:
        """Called last before each commit: flush queued output.  Raise to prevent the commit."""

    def debug(self, message: str) -> None:
        """Called with a message about what the client does.  Exceptions are logged and ignored."""

    async def dispatch(self, change: Change) -> None:
        """Called with every change; calls the methods above.  Override it to get all of it."""
        outcome = dispatch(self, change)
        if isinstance(outcome, Awaitable):
            await outcome


def dispatch(callback: Any, change: Change) -> object:
    """Call the ``record_`` methods of *callback* for *change*.

    Returns:
        an awaitable, if they are ``async``.
    """
    kind, _, _, old_dn, new_dn, old, new, _ = change
    if kind is _ADD:
        return callback.record_add(new_dn, new)
    if kind is _MODIFY:
        return callback.record_change(new_dn, old, new)
    old_dn, new_dn, old, new = old_dn or "", new_dn or "", old or {}, new or {}
    outcome: object = None
    if kind is ChangeKind.RENAME:
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
    r"""Logs every call: changes at level INFO, everything else at level DEBUG.

    Attribute names are logged, their values are not: these are personal data.  Characters that
    are not printable, line breaks among them, are written as ``\n``, ``\x1b``, ``\u202e``, so that
    no name can forge a line.
    """

    def __init__(self, logger: Optional[logging.Logger] = None) -> None:
        """Initialize with a logger; None means ``syncrepl_client.changes``."""
        self.logger = logger or logging.getLogger("syncrepl_client.changes")

    def bind_complete(self, ldap: Any) -> None:
        """Log that the connection is bound."""
        self.logger.debug("bound", extra={"event": "bound"})

    def disconnected(self, error: Exception) -> None:
        """Log the error."""
        said = printable(str(error))
        self.logger.warning("disconnected: %s", said, extra={"event": "disconnected"})

    def activated(self) -> None:
        """Log that this client follows."""
        self.logger.info("activated", extra={"event": "activated"})

    def deactivated(self) -> None:
        """Log that this client does not follow any more."""
        self.logger.info("deactivated", extra={"event": "deactivated"})

    def record_add(self, dn: str, attrs: Attributes) -> None:
        """Log the DN and the names of the attributes."""
        name, names = printable(dn), printable(", ".join(attrs))
        self.logger.info("add %s (%s)", name, names, extra={"event": "add"})

    def record_change(self, dn: str, old_attrs: Attributes, new_attrs: Attributes) -> None:
        """Log the DN and the names of the attributes that differ."""
        changed = printable(", ".join(attributes.changed(old_attrs, new_attrs)))
        self.logger.info("change %s (%s)", printable(dn), changed, extra={"event": "change"})

    def record_rename(self, old_dn: str, new_dn: str) -> None:
        """Log both DNs."""
        old, new = printable(old_dn), printable(new_dn)
        self.logger.info("rename %s -> %s", old, new, extra={"event": "rename"})

    def record_delete(self, dn: str) -> None:
        """Log the DN."""
        self.logger.info("delete %s", printable(dn), extra={"event": "delete"})

    def record_reference(self, old_urls: Sequence[str], new_urls: Sequence[str]) -> None:
        """Log the URLs."""
        self.logger.info(
            "reference %s -> %s", list(old_urls), list(new_urls), extra={"event": "reference"}
        )

    def refresh_done(self, items: Mapping[str, Attributes]) -> None:
        """Log the number of entries."""
        self.logger.info("refresh done, %d entries", len(items), extra={"event": "refresh-done"})

    def cookie_change(self, cookie: bytes) -> None:
        """Log the cookie."""
        self.logger.debug("cookie %r", cookie, extra={"event": "cookie"})

    def before_commit(self) -> None:
        """Log that a commit follows."""
        self.logger.debug("commit", extra={"event": "commit"})

    def debug(self, message: str) -> None:
        """Log the message."""
        self.logger.debug("%s", printable(message), extra={"event": "debug"})


OPTIONAL = frozenset(("record_reference", "disconnected", "activated", "deactivated"))
"""Methods that a callback which is not a BaseCallback need not have."""

_METHODS = tuple(
    name for name in vars(BaseCallback) if not name.startswith("_") and name not in OPTIONAL
)


_PREFIXES = ("record_", "refresh_")
_CO_COROUTINE = 0x80
"""``inspect.CO_COROUTINE``: the flag of an ``async def`` function's code."""


def usable(callback: Any, *, awaits: bool = False) -> Any:
    """Return *callback*, instantiated if it is a class; for None a callback that does nothing.

    Args:
        callback: an object, a class, or None.
        awaits: whether its methods may be ``async``.

    Raises:
        CallbackInvalid: a required method is missing, a method has a name that starts like those
            but is none of them, or one is ``async`` that must not be; the message names it.
    """
    callback = BaseCallback if callback is None else callback
    instance = callback() if isinstance(callback, type) else callback
    missing = [name for name in _METHODS if not callable(getattr(instance, name, None))]
    if missing:
        raise CallbackInvalid(
            f"the callback {instance!r} lacks {', '.join(missing)}: subclass BaseCallback"
        )
    for name in dir(type(instance)):
        if name.startswith(_PREFIXES) and name not in vars(BaseCallback):
            raise CallbackInvalid(_unknown(instance, name))
    for name in ("debug",) if awaits else (*_METHODS, *OPTIONAL):
        code = getattr(getattr(instance, name, None), "__code__", None)
        if code is not None and code.co_flags & _CO_COROUTINE:
            raise CallbackInvalid(
                f"{name}() of the callback {instance!r} is async: "
                + ("debug() can't be" if awaits else "use AsyncSyncrepl, which awaits it")
            )
    return instance


def _unknown(callback: Any, name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, [*_METHODS, *OPTIONAL], n=1)
    meant = f"did you mean {near[0]}()? " if near else ""
    return (
        f"{name}() of the callback {callback!r} is never called: {meant}"
        "Names that begin with record_ or refresh_ are the library's; give a helper another one"
    )
