# SPDX-License-Identifier: BSD-3-Clause
"""The group of subcommands, and how errors end it."""

from __future__ import annotations

from importlib.metadata import version

import ldap
import pytest

from syncrepl_client import exceptions
from syncrepl_client.cli import errors
from syncrepl_client.cli.exits import Exit
from syncrepl_client.cli.group import COMMANDS, group
from tests.cli.commands import run, run_python


def test_without_a_subcommand_there_is_help() -> None:
    done = run()
    assert done.out.startswith("Usage: syncrepl-client") or done.err.startswith("Usage: ")
    assert run("--help").code == 0


def test_the_version() -> None:
    assert run("--version").out == f"syncrepl-client, version {version('syncrepl_client')}\n"


def test_a_subcommand_that_is_not_there() -> None:
    done = run("wacth")
    assert (done.code, done.out) == (2, "")
    assert "No such command 'wacth'" in done.err


def test_each_subcommand_of_the_table_is_there() -> None:
    with group.make_context("syncrepl-client", ["watch"]) as context:
        for name, text in COMMANDS.items():
            command = group.get_command(context, name)
            assert command is not None
            assert text.endswith(".")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_what_is_missing_is_named(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None\n"
    done = run_python(program + "from syncrepl_client.cli import main\nmain(['--help'])")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"syncrepl-client: error: the command needs {missing}, which is not installed: "
        "pip install 'syncrepl_client[cli]'\n"
    )


def test_the_library_does_without() -> None:
    program = "import sys\nfor name in ('click', 'rich', 'prometheus_client'):\n"
    program += " sys.modules[name] = None\nimport syncrepl_client, syncrepl_client.entries.text"
    assert run_python(program) == (0, "", "")


def test_a_fault_of_the_program_says_so() -> None:
    program = "from unittest import mock\nfrom syncrepl_client.cli import main\n"
    program += "with mock.patch('syncrepl_client.cli.target.choose', side_effect=KeyError('x')):\n"
    done = run_python(f"{program} main(['watch'])")
    assert (done.code, done.out) == (70, "")
    assert done.err.startswith("syncrepl-client: error: this is a fault in syncrepl-client; ")
    assert "KeyError: 'x'" in done.err


CODES: list[tuple[BaseException, Exit]] = [
    (exceptions.ConfigurationError("x"), Exit.USAGE),
    (exceptions.LDAPUrlConflict("x"), Exit.CONFIG),
    (exceptions.StoreLocked("x"), Exit.STORE),
    (exceptions.StorePathError("x"), Exit.STORE),
    (exceptions.SyncUnsupported("x"), Exit.CONFIG),
    (ldap.NO_SUCH_OBJECT(), Exit.CONFIG),
    (ldap.INVALID_CREDENTIALS(), Exit.REFUSED),
    (exceptions.TooManyDeletes("x"), Exit.DELETES),
    (ldap.SERVER_DOWN(), Exit.SERVER),
    (errors.ConnectionFailed("x"), Exit.SERVER),
    (errors.OutputError("x"), Exit.HANDLER),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=str)
def test_exit_codes(error: BaseException, code: Exit) -> None:
    assert isinstance(error, errors.EXPECTED)
    assert errors.exit_code(error) == code


def test_errors_are_one_line_without_control_characters() -> None:
    details = {"desc": "No such\nobject", "info": "\x1b[31mred", "matched": b"dc=x"}
    line = errors.one_line(ldap.NO_SUCH_OBJECT(details))
    assert line == r"No such object: \x1b[31mred: the nearest entry that exists is dc=x"
    assert errors.one_line(ldap.SERVER_DOWN()) == "SERVER_DOWN"
    assert errors.one_line(exceptions.StoreError("change data_path")) == "change --data"


def test_a_password_in_the_arguments() -> None:
    done = run("watch", "-D", "cn=a", "-w", "secret", "ldap://localhost/dc=x??sub")
    assert done.code == 2
    assert "-W asks for it, -y FILE reads it" in done.err
    assert "secret" not in done.err
