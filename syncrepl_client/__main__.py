# SPDX-License-Identifier: BSD-3-Clause
"""``python -m syncrepl_client``: the command, where it is not on the PATH."""

from .cli import main

if __name__ == "__main__":
    main()
