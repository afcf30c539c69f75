"""Short names of released models, and the random weights that are asked for in their place."""

from __future__ import annotations

import pickle
import sys

import pytest
from huggingface_hub import constants

from streamrvq import PRESETS, HubError, WeightsError, load
from streamrvq.weights import load_weights, seeded
from streamrvq.weights.hub import RELEASED, fetch, parsed
from streamrvq.weights.load import with_weights
from tests.support.hub.repository import NAME
from tests.support.hub.server import Hub

SHORT = "dac-44khz"
#: As they were before these names meant the Hub: tokens have been stored with them.
STAND_INS = {
    "dac-16khz": "83945ef6100d7022bcc4492db9b5b99986e1a3fab695b0077e1adb3fcab581c9",
}


def test_a_short_name_is_the_released_model(hub: Hub) -> None:
    codec, released = load(SHORT), load(NAME)
    assert codec.codec_hash == released.codec_hash
    assert (codec.name, codec.source) == (SHORT, f"{SHORT}@{hub.commit(NAME)}")
    back = pickle.loads(pickle.dumps(codec))
    assert (back.name, back.codec_hash) == (SHORT, codec.codec_hash)
    assert load_weights(f"{SHORT}@v0").codec_hash == load_weights(f"{NAME}@v0").codec_hash != codec.codec_hash


def test_every_short_name_is_a_preset() -> None:
    assert set(RELEASED) <= set(PRESETS)
    for short, repo in RELEASED.items():
        assert parsed(short).repo == repo
        assert str(parsed(f"{short}@v1")) == f"{short}@v1"
    with pytest.raises(HubError):
        parsed("dac-44khz@../x")


def test_offline_the_sentence_names_both_ways(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError) as said:
        load(SHORT)
    assert str(said.value).startswith(
        f"{SHORT} is {NAME} on the Hugging Face Hub and not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE "
        f"is set; wanted config.json and model.safetensors: where there is a network, run 'streamrvq fetch {SHORT} "
    )
    assert str(said.value).endswith("set HF_HOME to where it is; 'seeded:dac-44khz' are random weights of its shape")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=f"{SHORT} is {NAME} on the Hugging Face Hub; names on the Hub need hugging"):
        load(SHORT)


@pytest.mark.heavy
@pytest.mark.parametrize("preset", STAND_INS)
def test_the_stand_in_is_what_it_was(hub: Hub, preset: str) -> None:
    weights = load_weights(f"seeded:{preset}")
    assert (weights.name, weights.trained, weights.source) == (preset, False, f"seeded:{preset}")
    assert weights.codec_hash == STAND_INS[preset]
    assert hub.asked == []


def test_seeded_weights_of_any_preset(hub: Hub) -> None:
    codec = load("causal-44khz", weights="seeded")
    assert codec.codec_hash == seeded(PRESETS["causal-44khz"]).codec_hash != load("causal-44khz").codec_hash
    assert not codec.trained
    assert pickle.loads(pickle.dumps(codec)).codec_hash == codec.codec_hash
    assert load("seeded:causal-44khz", weights="seeded").codec_hash == codec.codec_hash
    assert with_weights("causal-44khz", None) == "causal-44khz"


def test_what_cannot_be_seeded(hub: Hub) -> None:
    with pytest.raises(
        WeightsError, match=r"seeded weights were asked for of 'kyutai/mimi', which is no preset; wanted"
    ):
        load("kyutai/mimi", weights="seeded")
    with pytest.raises(WeightsError, match=r"weights is 'random'; wanted 'seeded' for random ones, or None"):
        load(SHORT, weights="random")
    assert hub.asked == []


def test_a_short_name_is_fetched(hub: Hub) -> None:
    assert fetch(parsed(SHORT), ("dac",)).pinned == f"{SHORT}@{hub.commit(NAME)}"
