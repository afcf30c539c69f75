"""What the tests of `streamrvq serve` share."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamrvq.weights import save_weights
from tests.support.contract import weights_of
from tests.support.service import CAUSAL


@pytest.fixture(scope="module")
def served_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a codec that costs little: hop 64, 16 kHz, causal."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(weights_of(CAUSAL.config), path)
    return path
