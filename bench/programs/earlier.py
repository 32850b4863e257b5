# SPDX-License-Identifier: BSD-3-Clause
"""syncrepl-client 0.95.1, one refresh, in the environment that has it: earlier.py DATA_PATH URL."""

import sys
from pathlib import Path

from syncrepl_client import Syncrepl, SyncreplMode
from syncrepl_client.callbacks import BaseCallback


class Nothing(BaseCallback):
    """Does nothing."""


sys.path.append(str(Path(__file__).parents[2]))  # the last place: its own package comes first

from bench.programs.output import tell  # noqa: E402

data_path, url = sys.argv[1:]
client = Syncrepl(
    data_path=data_path, callback=Nothing, mode=SyncreplMode.REFRESH_ONLY, ldap_url=url
)
while client.poll():
    pass
client.unbind()
tell()
