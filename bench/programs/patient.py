# SPDX-License-Identifier: BSD-3-Clause
"""Run a program of this library's that commits by number, not by time: patient.py PROGRAM...

Under valgrind it is fifty times slower, and would commit fifty times as often.
"""

import runpy
import sys

import syncrepl_client.client  # noqa: F401 - with all that it needs

for module in list(sys.modules.values()):
    if hasattr(module, "REFRESH_SECONDS"):
        vars(module)["REFRESH_SECONDS"] = 1e9
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
