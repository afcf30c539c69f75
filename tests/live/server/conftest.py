"""What tests of the server share: a certificate."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest


def certificate(folder: Path, name: str = "chain") -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, by the system's openssl."""
    chain, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", chain],
        check=True, capture_output=True,
    )  # fmt: skip
    return chain, key


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, Path, ssl.SSLContext]:
    """A certificate, its key, and a client's context that trusts it."""
    chain, key = certificate(tmp_path)
    return chain, key, ssl.create_default_context(cafile=str(chain))
