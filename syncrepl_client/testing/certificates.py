# SPDX-License-Identifier: BSD-3-Clause
"""A temporary certificate authority, for servers with TLS."""

from dataclasses import dataclass
from pathlib import Path

from .process import find_program, run

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificates:
    """The files of a certificate authority and of a server's certificate.

    Attributes:
        ca_file: the authority's certificate.
        cert_file: the server's certificate.
        key_file: the server's private key.
    """

    ca_file: Path
    cert_file: Path
    key_file: Path


def make_certificates(
    directory: Path,
    *,
    names: str = "DNS:localhost,IP:127.0.0.1",
    common_name: str = "localhost",
    days: int = 2,
) -> Certificates:
    """Create a certificate authority and a server's certificate.

    Args:
        directory: for the files.
        names: the subjectAltName, as openssl takes it; "" for none.
        common_name: the common name of the server's certificate.
        days: how long the certificate is valid; -1: it has expired.

    Raises:
        ServerMissing: openssl is not installed.
        ServerFailed: openssl failed.
    """
    openssl = find_program("openssl", "openssl")
    files = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    ca_key, request, extensions = (directory / name for name in ("ca.key", "server.csr", "san"))
    extensions.write_text(f"subjectAltName={names}\n" if names else "", encoding="ascii")
    run(
        *(openssl, "req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=Throw-away CA"),
        *("-keyout", str(ca_key), "-out", str(files.ca_file)),
    )
    run(
        *(openssl, "req", *NEW_KEY, "-subj", f"/CN={common_name}"),
        *("-keyout", str(files.key_file), "-out", str(request)),
    )
    run(
        *(openssl, "x509", "-req", "-in", str(request), "-days", str(days), "-CAcreateserial"),
        *("-CA", str(files.ca_file), "-CAkey", str(ca_key)),
        *("-extfile", str(extensions), "-out", str(files.cert_file)),
    )
    return files


def make_self_signed(directory: Path) -> Certificates:
    """Create a certificate authority, and a certificate that it did not sign.

    Args:
        directory: for the files.

    Raises:
        ServerMissing: openssl is not installed.
        ServerFailed: openssl failed.
    """
    files = make_certificates(directory)
    run(
        *(find_program("openssl", "openssl"), "req", "-x509", *NEW_KEY, "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", str(files.key_file), "-out", str(files.cert_file)),
    )
    return files
