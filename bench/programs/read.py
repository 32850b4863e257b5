# SPDX-License-Identifier: BSD-3-Clause
"""python-ldap, one entry: read.py URL DN TIMES.

Reads the entry so often, and says what CPU time that took without the start.
"""

import sys
import time

import ldap

from bench.programs.output import tell

url, dn, times = sys.argv[1:4]
connection = ldap.initialize(url)
connection.simple_bind_s()
cpu = time.process_time()
for _ in range(int(times)):
    connection.search_s(dn, ldap.SCOPE_BASE)
cpu = time.process_time() - cpu
connection.unbind_s()
tell(cpu=cpu)
