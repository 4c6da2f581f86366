"""Certificates of servers on the loopback interface."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import datetime, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE: list[x509.GeneralName] = [x509.IPAddress(ip_address("127.0.0.1"))]

VALID = (2000, 2100)
"""First and last year of a certificate that is valid, whatever the clock says."""


def make_certificate(
    folder: Path, *, names: Sequence[x509.GeneralName] = HERE, years: tuple[int, int] = VALID
) -> Path:
    """Write a self-signed certificate, with its key in the same file.

    :param names: hosts that it is made out for.
    :param years: valid from the start of the first until the start of the second.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    first, last = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in years)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def tls_with(path: Path) -> ssl.SSLContext:
    """Return the context of a server that shows the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
