"""`send` to a server with TLS: whom it trusts, and what it says where the two sides differ; no proxy to loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from tests.live.server.conftest import certificate
from tests.support.command import Run
from tests.support.contract import noise
from tests.support.hostile.served import ended, served
from tests.support.service import RATE


def test_whom_send_trusts(
    run: Run, served_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    wav, (chain, key), (other, _) = tmp_path / "a.wav", certificate(tmp_path), certificate(tmp_path, "other")
    soundfile.write(wav, noise(RATE), RATE)
    for name in ("http_proxy", "https_proxy", "all_proxy", "socks_proxy"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")  # no proxy leads to loopback
    server, url = served(served_weights, "--tls-certificate", chain, "--tls-key", key)
    try:
        assert url.startswith("wss://")
        assert run("send", wav, url, "--ca", chain).code == 0
        loose = run("send", wav, url, "--insecure")
        assert loose.code == 0
        assert "certificate is not checked" in loose.err
        for arguments in ((), ("--ca", other)):
            sentence = run("send", wav, url, *arguments).sentence
            assert "self-signed certificate" in sentence
            assert "send --ca FILE" in sentence
        assert "cannot read certificates" in run("send", wav, url, "--ca", key).sentence
        assert "cannot read certificates" in run("send", wav, url, "--ca", tmp_path / "nothing").sentence
        assert "wanted a PEM file" in run("send", wav, url, "--ca", "/dev/zero").sentence
        assert "came together" in run("send", wav, url, "--ca", chain, "--insecure").sentence
        plain = url.replace("wss", "ws")
        assert f"the server there wants it; use {url}" in run("send", wav, plain).sentence
        assert "--insecure goes with wss://" in run("send", wav, plain, "--insecure").sentence
        assert "--ca goes with wss://" in run("send", wav, plain, "--ca", chain).sentence
    finally:
        ended(server)
