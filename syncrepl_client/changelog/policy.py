# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a log of changes: how much is kept, and which attributes are left out."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Optional, Union

from ..entries import descriptions
from ..exceptions import ConfigurationError, StoreInvalid

SECRETS = frozenset((
    # RFC 2256, RFC 3112, OpenLDAP with its overlays ppolicy and otp
    "userpassword", "authpassword", "olcrootpw", "pwdhistory", "oathsecret",
    # MIT Kerberos
    "krbprincipalkey", "krbmkey", "krbpwdhistory",
    # 389 Directory Server, FreeIPA
    "passwordhistory", "nsds5replicacredentials", "nsds5replicabootstrapcredentials",
    "nsmultiplexorcredentials", "nssymmetrickey", "ipanthash", "ipanttrustauthincoming",
    "ipanttrustauthoutgoing", "ipatokenotpkey", "ipatokenradiussecret", "ipaidpclientsecret",
    # Samba, Active Directory
    "sambantpassword", "sambalmpassword", "sambapasswordhistory", "sambaclearpassword",
    "sambacurrenttrustpassword", "unicodepwd", "ntpwdhistory", "lmpwdhistory",
    "supplementalcredentials",
))  # fmt: skip
"""Names, in lower case, of attributes that contain passwords, their hashes, or keys."""


@dataclass(frozen=True)
class Keep:
    """Limits to how many changes are kept; the last one is always kept.  None: no limit.

    Attributes:
        age: the maximum age, in seconds; a ``timedelta`` is converted.
        changes: the maximum number.
        size: the maximum size in bytes, without indexes.
    """

    age: Union[timedelta, float, None] = None
    changes: Optional[int] = None
    size: Optional[int] = None

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            ConfigurationError: a limit is not valid.
        """
        if self.seconds is not None and not _positive(self.seconds, int, float):
            raise ConfigurationError(
                f"age is a timedelta or a number of seconds above 0, or None, not {self.age!r}"
            )
        for name, value in (("changes", self.changes), ("size", self.size)):
            if value is not None and not _positive(value, int):
                raise ConfigurationError(f"{name} is an int above 0, or None, not {value!r}")
        object.__setattr__(self, "age", self.seconds)

    @property
    def seconds(self) -> Optional[float]:
        """The maximum age in seconds."""
        return self.age.total_seconds() if isinstance(self.age, timedelta) else self.age

    def covers(self, seconds: float, changes: int, size: int) -> bool:
        """Return True if a change is kept; *changes* and *size* include all later ones."""
        limits = (self.seconds, seconds), (self.changes, changes), (self.size, size)
        return all(limit is None or value <= limit for limit, value in limits)


def _positive(value: Any, *kinds: type) -> bool:
    return type(value) in kinds and value > 0


Limit = Union[Keep, timedelta, float, None]
"""A :class:`Keep`, or its age."""


@dataclass(frozen=True, init=False)
class Changelog:
    """The settings of a log of changes: the argument *changelog* of the client.

    They are stored, and used from then on by clients that are given none.
    """

    keep: Keep
    for_sinks: Keep
    exclude: frozenset[str]
    initial: str

    def __init__(
        self,
        keep: Limit = timedelta(days=30),
        *,
        for_sinks: Limit = timedelta(days=90),
        exclude: Iterable[str] = SECRETS,
        initial: str = "snapshot",
    ) -> None:
        """Initialize the settings.

        Args:
            keep: how many changes to keep: a :class:`Keep`; a ``timedelta`` or a number of seconds
                for its age; None for all.
            for_sinks: how many changes to keep for a sink that did not get them yet, if that is
                more than *keep*.  A sink that is further behind is given up, and loses changes.
            exclude: names, without options and in any case, of attributes whose values are left
                out; it is logged that they changed.  The default is attributes that contain
                passwords, their hashes, or keys.
            initial: how to log the first refresh of an empty store: ``"snapshot"`` as one event,
                ``"each"`` as an ADD of each entry.

        Raises:
            ConfigurationError: an argument is not valid.
        """
        names = None if isinstance(exclude, str) else list(exclude)
        if names is None or not all(type(each) is str for each in names):
            raise ConfigurationError(f"exclude is a list of names, not {exclude!r}")
        if initial not in ("snapshot", "each"):
            raise ConfigurationError(f"initial is 'snapshot' or 'each', not {initial!r}")
        for name, value in (
            ("keep", keep if isinstance(keep, Keep) else Keep(keep)),
            ("for_sinks", for_sinks if isinstance(for_sinks, Keep) else Keep(for_sinks)),
            ("exclude", frozenset(map(descriptions.base, names))),
            ("initial", initial),
        ):
            object.__setattr__(self, name, value)

    def encode(self) -> str:
        """Return the settings as text."""
        keep, for_sinks = (
            (each.seconds, each.changes, each.size) for each in (self.keep, self.for_sinks)
        )
        members = {"keep": keep, "for_sinks": for_sinks, "exclude": sorted(self.exclude)}
        return json.dumps({**members, "initial": self.initial})

    @classmethod
    def decode(cls, text: str) -> "Changelog":
        """Return the settings that :meth:`encode` returned as *text*.

        Raises:
            StoreInvalid: *text* is damaged.
        """
        try:
            members: dict[str, Any] = json.loads(text)
            keep, for_sinks = Keep(*members.pop("keep")), Keep(*members.pop("for_sinks"))
            return cls(keep, for_sinks=for_sinks, **members)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise StoreInvalid(f"the settings of the log of changes are damaged: {error}") from None
