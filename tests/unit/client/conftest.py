"""Fixtures of the client's tests."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.client import Client, Retry
from tests.unit.client.standin import KEY, StandIn

HASTY = Retry(attempts=4, base_seconds=0.01, cap_seconds=0.05, retry_after_cap_seconds=0.1)


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """Run a gateway and store that fail on demand."""
    server = StandIn().start()
    yield server
    server.stop()


@pytest.fixture
def client(standin: StandIn, tmp_path: Path) -> Iterator[Client]:
    """Give a client with little patience."""
    with Client(standin.url, KEY, retry=HASTY, state_folder=tmp_path / "state") as client:
        yield client


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Make a file of five parts, the last one short."""
    file = tmp_path / "talk.mp4"
    file.write_bytes(os.urandom(4 * 64 * 1024 + 999))
    return file


@pytest.fixture
def standin_tls(tmp_path: Path) -> Iterator[tuple[StandIn, ssl.SSLContext]]:
    """Run the same server over TLS, and give what trusts its certificate."""
    certificate = _self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = StandIn(context).start()
    yield server, ssl.create_default_context(cafile=str(certificate))
    server.stop()


def _self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
