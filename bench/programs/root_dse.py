# SPDX-License-Identifier: BSD-3-Clause
"""The least that a client in Python does: bind, read the root DSE: root_dse.py SERVER."""

import sys
import time

import ldap

from bench.programs.output import tell

connection = ldap.initialize(sys.argv[1])
connection.simple_bind_s()
connection.search_s("", ldap.SCOPE_BASE, "(objectClass=*)", ["*", "+"])
done = time.monotonic()
connection.unbind_s()
tell(done=done)
