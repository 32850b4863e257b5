# SPDX-License-Identifier: BSD-3-Clause
"""OpenLDAP's change sequence numbers: ``20261125043130.531319Z#000000#001#000000``.

The fields: the time of the change, a counter within that time, the ID of the server on which it was
made, and a counter within the change.
"""

from datetime import datetime, timedelta, timezone
from typing import Optional

_FORMAT = "%Y%m%d%H%M%S.%fZ"


def made_at(csn: bytes) -> Optional[datetime]:
    """Return when the change was made; None if *csn* does not have that form."""
    try:
        text = csn.partition(b"#")[0].decode("ascii")
        return datetime.strptime(text, _FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def just_before(csn: bytes) -> Optional[bytes]:
    """Return a CSN that is one microsecond older; None if *csn* does not have that form."""
    made, rest = made_at(csn), csn.partition(b"#")[2]
    if made is None:
        return None
    return (made - timedelta(microseconds=1)).strftime(_FORMAT).encode() + b"#" + rest
