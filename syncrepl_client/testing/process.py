# SPDX-License-Identifier: BSD-3-Clause
"""What all temporary servers share: a directory, a port, a child process.

A server is a child process of the test run, in the foreground, with all of its files in one
temporary directory.  So it needs no administrator, does not interfere with other servers, and
leaves nothing behind.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Optional, TypeVar

import ldap
from ldap.ldapobject import LDAPObject

LOOPBACK = "127.0.0.1"
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/sbin:/bin"
POLL_SECONDS = 0.01
END_SECONDS = 30

S = TypeVar("S", bound="Server")


class ServerMissing(Exception):
    """A server's program is not installed. The message says what to install."""


class ServerFailed(Exception):
    """A server or one of its tools failed. The message ends with its output."""


def find_program(name: str, package: str) -> str:
    """Return the path of a program, also if it is outside a user's PATH.

    Args:
        name: of the program.
        package: the Debian package that has it.

    Raises:
        ServerMissing: it was not found.
    """
    found = shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        raise ServerMissing(f"{name} is not installed: install it (Debian package {package})")
    return found


def find_path(candidates: Sequence[str], package: str) -> Path:
    """Return the first of several paths that exists: distributions differ.

    Args:
        candidates: the paths.
        package: the Debian package that has one of them.

    Raises:
        ServerMissing: none exists.
    """
    for candidate in candidates:
        if Path(candidate).exists():
            return Path(candidate)
    places = ", ".join(candidates)
    raise ServerMissing(f"there is none of {places}: install it (Debian package {package})")


def run(*command: str, stdin: str = "") -> None:
    """Run a tool of a server.

    Args:
        command: program and arguments.
        stdin: its standard input.

    Raises:
        ServerFailed: it ended with an error; its output is in the message.
    """
    done = subprocess.run(  # noqa: S603 - the command is ours, and no shell sees it
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        raise ServerFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


def free_port() -> int:
    """Return a free port below the ephemeral range.

    The kernel may give an ephemeral port to a client while its server is down, and a client that
    keeps trying such a port ends up connected to itself.
    """
    while True:
        port = 16000 + secrets.randbelow(16000)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:  # somebody has it: draw again
                continue
            return port


def answers(port: int) -> bool:
    """Return True if something listens on that loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


class Server:
    """A directory server as a child process, in a directory of its own.

    As a context manager it is started on entry, and removed with all of its files on exit.

    Attributes:
        url: of the server, without anything after the port.
        port: on loopback; it does not change.
        suffix: the DN at the top of the directory.
        root_dn: the DN of the directory's administrator.
        root_pw: the password of that one.
        directory: a temporary one, with all of the server's files.
    """

    suffix: str
    root_dn: str
    root_pw: str

    def __init__(self, name: str, start_seconds: float = 30) -> None:
        """Initialize with a directory and a port; the server is not started.

        Args:
            name: prefix of the directory's name.
            start_seconds: how long the server may take to answer.
        """
        self._name = name
        self._start_seconds = start_seconds
        self._home = tempfile.TemporaryDirectory(prefix=f"{name}-")
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._prepared = False
        self.directory = Path(self._home.name)
        self.port = free_port()
        self.url = f"ldap://{LOOPBACK}:{self.port}"

    # What a kind of server has to say for itself.

    def _prepare(self) -> None:
        """Write the configuration and the first content; called once."""
        raise NotImplementedError

    def _command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        raise NotImplementedError

    def _configure(self) -> None:
        """Configure what can only be configured over LDAP; called once, after the first start."""

    # Life and death.

    def start(self) -> None:
        """Start the server, and return when it answers.

        Raises:
            ServerFailed: it runs already, does not start, or does not answer in time.
        """
        if self.running:
            raise ServerFailed(f"{self._name} runs already")
        first = not self._prepared
        if first:
            self._prepare()
            self._prepared = True
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                self._command(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests: they stop their servers
            )
        self._wait_until_it_answers()
        if first:
            self._configure()

    def stop(self) -> None:
        """Shut the server down in order, and wait for its end; do nothing where it has ended.

        Raises:
            ServerFailed: it had to be killed after 30 seconds.
        """
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server, as in a crash."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again, on the same port and data; stop first if it still runs.

        Raises:
            ServerFailed: as :meth:`stop` and :meth:`start`.
        """
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop the process: connections stay open, and nothing answers.

        Raises:
            ServerFailed: it does not run.
        """
        self._running_process().send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)  # the signal takes its time

    def resume(self) -> None:
        """Continue a paused process.

        Raises:
            ServerFailed: it does not run.
        """
        self._running_process().send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """Kill the server and delete all of its files."""
        self.kill()
        self._home.cleanup()

    def __enter__(self: S) -> S:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.remove()

    # Dealing with it.

    @property
    def running(self) -> bool:
        """Whether the process exists (also if it is paused)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process ID, for signals and for /proc; raises ServerFailed if it does not run."""
        return self._running_process().pid

    def connect(self) -> LDAPObject:
        """Return a new connection, bound as the root DN.  The caller unbinds it.

        Raises:
            ldap.LDAPError: SERVER_DOWN, where the server does not run.
        """
        connection = ldap.initialize(self.url)
        connection.set_option(ldap.OPT_NETWORK_TIMEOUT, 10)
        try:
            connection.simple_bind_s(self.root_dn, self.root_pw)
        except BaseException:
            connection.unbind_s()
            raise
        return connection

    @contextmanager
    def connected(self) -> Iterator[LDAPObject]:
        """Return a connection bound as the root DN, for the length of a with block.

        Raises:
            ldap.LDAPError: as :meth:`connect`.
        """
        connection = self.connect()
        try:
            yield connection
        finally:
            connection.unbind_s()

    def log(self) -> str:
        """Return the server's output so far."""
        if not self._log_path.exists():
            return ""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def _log_path(self) -> Path:
        return self.directory / "log"

    def _running_process(self) -> "subprocess.Popen[bytes]":
        if self._process is None or not self.running:
            raise ServerFailed(f"{self._name} is not running:\n{self.log()}")
        return self._process

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not answers(self.port):
            if not self.running:
                break
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(
                    f"{self._name} does not answer after {self._start_seconds} s:\n{self.log()}"
                )
            time.sleep(POLL_SECONDS)
        if not self.running:  # also where a stranger answers on the port
            raise ServerFailed(f"{self._name} did not start:\n{self.log()}")

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # a frozen process takes no SIGTERM
        try:
            self._process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise ServerFailed(f"{self._name} did not end:\n{self.log()}") from error
        finally:
            self._process = None
