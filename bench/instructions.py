# SPDX-License-Identifier: BSD-3-Clause
"""Instructions an entry, counted by valgrind: ``python -m bench.instructions``.

Times differ from machine to machine, and on a shared one from run to run; this hardly does.  A
program is run with two numbers of entries, so that what it takes to begin and to end falls out.
"""

from __future__ import annotations

import argparse
import compileall
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.directory import Place, describe, forget_cookie, serve, write
from bench.measure import PROGRAMS, ROOT, ProgramFailed, environment, program, worktree
from bench.peers import ldapsearch_ldif
from tests.servers.people import person_dn

FEW, MANY = 2000, 10_000
_COLLECTED = re.compile(r"Collected : (\d+)")


def count(command: Sequence[str], path: Path = ROOT) -> int:
    """Return how many instructions *command* takes in user space; *path* has the library.

    Raises:
        ProgramFailed: it ended with an error.
    """
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command],
        cwd=path,
        env={**environment(path), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = _COLLECTED.search(done.stderr)
    if done.returncode or found is None:
        raise ProgramFailed(f"{' '.join(command)}: {done.stderr}")
    return int(found[1])


def counts(entries: int, path: Path) -> dict[str, int]:
    """Return the instructions of a client's refreshes, and of ldapsearch, with so many entries."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        serve(entries, Path(name)) as server,
    ):
        url = Place(server, entries, 1, Path(name)).url
        client = program("patient", PROGRAMS / "client.py", f"{name}/", url)
        found = {"initial refresh": count(client, path)}
        forget_cookie(Path(name))
        found["again without a cookie"] = count(client, path)
        write(server, [describe(person_dn(0), "changed")])
        found["present phase"] = count(client, path)
        return {**found, "ldapsearch": count(ldapsearch_ldif(server), path)}


def each_entry(path: Path) -> dict[str, int]:
    """Return the instructions an entry of each of :func:`counts`.

    The modules are compiled before: in a new worktree the first run would do that.
    """
    for package in ("syncrepl_client", "bench"):
        compileall.compile_dir(path / package, quiet=1)
    few, many = counts(FEW, path), counts(MANY, path)
    return {name: (many[name] - few[name]) // (MANY - FEW) for name in few}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", help="count those of that commit, too")
    parser.add_argument("--output", type=Path, default=Path("docs/performance"))
    chosen = parser.parse_args()
    found = {"now": each_entry(ROOT)}
    if chosen.against:
        with worktree(chosen.against) as path:
            found[chosen.against] = each_entry(path)
    for when, figures in found.items():
        for name, figure in figures.items():
            print(f"{when}: {name}: {figure:,}", file=sys.stderr)
    report = json.dumps(found["now"], indent=1)
    (chosen.output / "instructions.json").write_text(f"{report}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
