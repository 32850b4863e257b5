# SPDX-License-Identifier: BSD-3-Clause
"""One of several writers: write.py SERVER WHO PASSWORD BASE NUMBER CHANGES DN.

Adds, changes, renames and deletes entries of its own, as fast as the server takes it.  Its last
change sets the description of DN to ``mark of writer NUMBER``.
"""

import random
import sys
import time

import ldap

from bench.programs.output import tell
from tests.soak.writers import Writer

server, who, password, base = sys.argv[1:5]
number, changes, last = int(sys.argv[5]), int(sys.argv[6]), sys.argv[7]
connection = ldap.initialize(server)
connection.simple_bind_s(who, password)
writer = Writer(connection, number, base, random.Random(number))
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
for _ in range(changes - 1):
    writer.step()
writer.finish()
connection.modify_s(last, [(ldap.MOD_REPLACE, "description", b"mark of writer %d" % number)])
done = time.monotonic()
connection.unbind_s()
tell(began=began, done=done)
