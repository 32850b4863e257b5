# SPDX-License-Identifier: BSD-3-Clause
"""How long a test waits for what must happen: until it can only be taken to hang.

It ends what would never end, and measures nothing: a machine on which a dozen others wait for
each processor does not get there.
"""

HANGS_SECONDS = 600.0
