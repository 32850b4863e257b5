# SPDX-License-Identifier: BSD-3-Clause
"""ldapsearch in the persist stage, read through a pipe: listen.py MARKS COMMAND...

Ends when so many different descriptions that begin with ``mark`` have come.
"""

import subprocess
import sys
import time

from bench.programs.output import tell

wanted = int(sys.argv[1])
marks: dict[str, float] = {}
with subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, bufsize=0) as process:
    assert process.stdout is not None
    print("ready", flush=True)
    rest = b""
    while len(marks) < wanted:
        came = process.stdout.read(65536)
        now = time.monotonic()
        if not came:
            sys.exit("ldapsearch ended")
        *lines, rest = (rest + came).split(b"\n")
        for line in lines:
            name, _, value = line.partition(b": ")
            if name == b"description" and value.startswith(b"mark"):
                marks.setdefault(value.decode(), now)
    process.kill()
tell(marks=marks)
