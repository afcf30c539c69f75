"""What a server and a client read from the machine they run on: files of tokens, certificates, lines of codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from unittest import mock

from streamrvq.cli.pipes import code_lines
from streamrvq.cli.service import tokens
from streamrvq.live.server.settings import ServerSettings

from ..small import codec
from ..target import Target, scratch, written


def _tokens(data: bytes) -> None:
    for token in (found := tokens(None, written("tokens", data))):
        assert token, found


def _certificate(data: bytes) -> None:
    ServerSettings(tls_certificate=written("certificate.pem", data)).tls()


def _certificate_seeds() -> list[bytes]:
    """A self-signed certificate and its key, by the system's openssl."""
    certificate, key = scratch("seed.pem"), scratch("seed.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return [certificate.read_bytes() + key.read_bytes()]


class _Stdin:
    """Standard input as bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def _lines(data: bytes) -> None:
    with mock.patch.object(sys, "stdin", _Stdin(data)):
        stream = codec().decoder_stream()
        for codes in code_lines(codec(), force=False):
            stream.push(codes[:, :64])
        stream.flush()


def _line_seeds() -> list[bytes]:
    first = {"index": 0, "time": 0.0, "codes": [[1, 2], [3, 4], [5, 6]], "codec": "small",
             "codec_hash": codec().codec_hash, "sample_rate": 44100, "hop_length": 8, "source_rate": 44100}  # fmt: skip
    lines = (first, {"gap": {"samples": 3}}, {"index": 2, "time": 0.0, "codes": [[1], [2], [3]]})
    return ["\n".join(json.dumps(line) for line in lines).encode()]


TARGETS = (
    Target("token-file", "access tokens of a server, one a line", _tokens, lambda: [b"one\ntwo\n"]),
    Target("certificate", "a server's certificate and key: PEM", _certificate, _certificate_seeds),
    Target("code-lines", "JSON lines of codes, as decode reads them", _lines, _line_seeds),
)
