# SPDX-License-Identifier: BSD-3-Clause
"""``python -m syncrepl_client``: runs the command-line program."""

from .cli import main

if __name__ == "__main__":
    main()
