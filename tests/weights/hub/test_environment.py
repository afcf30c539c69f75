"""Variables that huggingface_hub reads, with values that are of no use: the sentence is about them, not the server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from streamrvq import HubError
from streamrvq.weights import load_weights
from tests.support.hub.repository import NAME
from tests.support.hub.server import Hub
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE


def sentence() -> str:
    """What loading says."""
    with pytest.raises(HubError) as said:
        load_weights(NAME)
    return str(said.value)


def test_the_variable_that_forbids_to_ask(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub takes that of older releases of transformers, too: it is the one to unset."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    assert ", and TRANSFORMERS_OFFLINE is set; wanted config.json and model.safetensors" in sentence()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert ", and HF_HUB_OFFLINE is set; wanted config.json and model.safetensors" in sentence()


def test_no_address(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "")
    assert sentence().startswith(f"{NAME} cannot be fetched from an empty HF_ENDPOINT (")


@pytest.mark.parametrize("kept", [False, True])
def test_a_token_that_is_none(hub: Hub, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    """No server was asked, so nothing is said of it."""
    if kept:
        Path(constants.HF_TOKEN_PATH).parent.mkdir(parents=True, exist_ok=True)
        Path(constants.HF_TOKEN_PATH).write_bytes(b"\xff\xfeh\0f\0")
    else:
        monkeypatch.setenv("HF_TOKEN", "hf_gööd")
    assert sentence() == (
        f"{NAME} cannot be asked for: the token, of HF_TOKEN or in {constants.HF_TOKEN_PATH}, has characters that no "
        "token has; wanted letters, digits and _: set it again, or run 'hf auth login'"
    )
    assert hub.asked == []


@pytest.mark.parametrize("variable", ["HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"])
def test_settings_that_the_library_cannot_read(hub: Hub, variable: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamrvq", "fetch", NAME], env=os.environ | {variable: "10s", "HF_ENDPOINT": hub.url},
        capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "huggingface_hub cannot read its settings (invalid literal for int() with base 10: '10s')" in done.stderr
    assert hub.asked == []
