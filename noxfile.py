# SPDX-License-Identifier: BSD-3-Clause
"""The tests on every Python that is found: ``make test-pythons``."""

import nox

nox.options.error_on_missing_interpreters = False
PROJECT = nox.project.load_toml("pyproject.toml")
TESTS = (
    *("tests/unit", "tests/contract", "tests/live/test_client_basics.py"),
    "tests/docs/test_programs.py",
)


@nox.session(python=["3.9", "3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run what depends on the version of Python."""
    session.install("pip>=25.1")
    extras = "cli,metrics,webhook,redis,rabbitmq,nats,kafka,scim,postgresql"
    session.install(f".[{extras}]", *nox.project.dependency_groups(PROJECT, "test"))
    session.run("pytest", "-n", "4", "-p", "no:cacheprovider", *TESTS, *session.posargs)
