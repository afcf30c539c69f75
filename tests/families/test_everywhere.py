"""What goes on around an engine works for every family without knowing it: the command line, files, the service.

Knows: small EnCodecs and Mimis. Does not know: what their codes are
(test_official_codes.py).
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import streamrvq
from streamrvq.codec import Codec, load
from streamrvq.engine import engines_lacking, make_engine
from streamrvq.engine.lacking import CUDA, NATIVE, Abilities
from streamrvq.errors import EngineError, WeightsError
from streamrvq.families import decoder_plan, encoder_plan
from streamrvq.families.encodec import EncodecConfig
from streamrvq.families.mimi import MimiConfig
from streamrvq.nn import CodecModel
from streamrvq.tokens import open_tokens
from streamrvq.weights import Weights, save_weights, seeded
from tests.families.pairs import FAMILIES, pair
from tests.reference.spread import music
from tests.support.command import Run
from tests.support.contract import NATIVE as NATIVE_BUILT
from tests.support.contract import cut, minute, needs_native
from tests.support.service import joined, serving


@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_engines_lack(name: str) -> None:
    """Nothing, of the released models' layers."""
    codec = pair(name).single
    assert engines_lacking(codec.config) == {}
    assert codec.engine.name == ("native" if NATIVE_BUILT else "torch")  # asked for as "auto"


def test_an_engine_that_lacks_something_refuses_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mimi on an engine that has what DAC needs; without a choice it is torch."""
    codec = pair("mimi").single
    for module in ("streamrvq.engine", "streamrvq.engine.native.engine"):
        monkeypatch.setattr(f"{module}.NATIVE", Abilities())
    with pytest.raises(EngineError, match=r"^the native engine lacks what this codec needs: .*; use engine='torch'"):
        make_engine(codec.config, codec.weights.tensors, "native")
    assert make_engine(codec.config, codec.weights.tensors).name == "torch"


def test_dac_lacks_nothing() -> None:
    for config in (minute(), minute(causal=True, stem=4)):
        assert engines_lacking(config) == {}
        for abilities in (NATIVE, CUDA):
            assert abilities.lacking(encoder_plan(config), decoder_plan(config)) == ()


@needs_native
@pytest.mark.parametrize("name", FAMILIES)
def test_no_torch_is_needed(name: str) -> None:
    folder, pcm = pair(name).folder, music(5000)
    wanted = load(folder, engine="native").encode(pcm)
    code = (
        "import sys; sys.modules['torch'] = None; import numpy, streamrvq;"
        f"pcm = numpy.frombuffer(sys.stdin.buffer.read(), numpy.float32); codec = streamrvq.load({str(folder)!r});"
        "codes = codec.encode(pcm); codec.decode(codes); sys.stdout.buffer.write(codes.tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pcm.tobytes(), capture_output=True, check=True)
    assert done.stdout == wanted.tobytes()


@pytest.mark.parametrize("name", FAMILIES)
def test_info(name: str, run: Run) -> None:
    facts = run("info", pair(name).folder, "--json").document
    assert facts["family"] == name
    assert facts["first_hops"] == (7 if name == "encodec" else 1)
    assert facts["engine"].startswith("native " if NATIVE_BUILT else "torch ")
    assert facts["engines_lack"] == {}
    assert (facts["sample_rate"], facts["delay_frames"], facts["n_codebooks"], facts["causal"]) == (24000, 0, 8, True)
    assert "lacks" not in run("info", pair(name).folder).out


def test_info_names_what_engines_lack(run: Run, tmp_path: Path) -> None:
    """Groups of several channels, which a released Mimi has not."""
    config = MimiConfig(num_filters=4, hidden_size=16, codebook_dim=16, codebook_size=32, n_codebooks=4,
                        upsampling_ratios=(4, 2), num_hidden_layers=1, num_attention_heads=2, head_dim=8,
                        intermediate_size=32, upsample_groups=8, sliding_window=9)  # fmt: skip
    save_weights(seeded(config), tmp_path / "w.safetensors")
    facts = run("info", tmp_path / "w.safetensors", "--json").document
    assert facts["engines_lack"] == {"native": ["grouped convolutions"], "cuda": ["grouped convolutions"]}
    lines = run("info", tmp_path / "w.safetensors").out
    assert "cuda engine" in lines
    assert "lacks" in lines


@pytest.mark.parametrize("name", FAMILIES)
def test_check_encode_and_decode_on_the_command_line(name: str, run: Run, tmp_path: Path) -> None:
    folder, codec, pcm = pair(name).folder, pair(name).single, music(12000)
    soundfile.write(tmp_path / "a.wav", pcm, 24000, subtype="FLOAT")
    checked = run(
        "check", folder, tmp_path / "a.wav", "--decode", "--chunks", "441,1920,random", "--rate", 44100, "--json"
    )
    assert checked.code == 0
    assert checked.document["passed"]
    legend = run("check", folder, tmp_path / "a.wav", "--chunks", "441", "--seconds", "0.1").out
    assert "cosine" not in legend
    assert "squared distances" in legend
    assert run("encode", tmp_path / "a.wav", "-o", tmp_path / "a.safetensors", "--codec", folder).code == 0
    assert run("decode", tmp_path / "a.safetensors", "-o", tmp_path / "b.wav", "--codec", folder).code == 0
    assert run("convert", folder, tmp_path / "w.safetensors").code == 0
    assert load(tmp_path / "w.safetensors").codec_hash == codec.codec_hash
    assert run("encode", tmp_path / "a.wav", "--shards", tmp_path / "s", "--workers", 1, "--codec", folder).code == 0
    (signal,) = open_tokens(tmp_path / "s")
    np.testing.assert_array_equal(signal.read(), codec.encode(pcm))
    decoded, rate = soundfile.read(tmp_path / "b.wav", dtype="float32")
    wanted = codec.decode(codec.encode(pcm))
    assert rate == 24000
    np.testing.assert_allclose(decoded, np.clip(wanted, -1, 1)[: len(decoded)], rtol=0, atol=2 / 32768)


@pytest.mark.parametrize("name", FAMILIES)
def test_seeded_weights_and_layouts(name: str, tmp_path: Path) -> None:
    config: Any = (EncodecConfig if name == "encodec" else MimiConfig)(
        num_filters=4, hidden_size=16, codebook_dim=16, codebook_size=32, n_codebooks=4, upsampling_ratios=(4, 2),
        **({} if name == "encodec" else {"num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8,
                                         "intermediate_size": 32, "upsample_groups": 16, "sliding_window": 9}),
    )  # fmt: skip
    weights = seeded(config, seed=3)
    assert not weights.trained
    codec = Codec(weights)
    codes = codec.encode(music(4000))
    assert min(len(np.unique(level)) for level in codes) >= 8
    assert np.abs(codec.decode(codes)).max() < 10
    save_weights(weights, tmp_path / "w.safetensors", half=True)
    assert load(tmp_path / "w.safetensors").codec_hash == codec.codec_hash
    for path in (tmp_path / "w.pth", tmp_path / "folder"):
        with pytest.raises(WeightsError, match=r"wanted a CodecConfig: this codec can be saved as \.safetensors"):
            save_weights(weights, path)
    with pytest.raises(WeightsError, match="wanted a CodecConfig"):
        CodecModel.from_weights(weights)


@pytest.mark.parametrize("engine", ["torch", *(["native"] if NATIVE_BUILT else [])])
def test_one_tap_has_nothing_to_space_out(engine: str) -> None:
    """Dilations of residual units grow to 64¹⁵ here, which no integer of a machine holds."""
    config = EncodecConfig(num_filters=2, hidden_size=4, codebook_dim=4, codebook_size=8, n_codebooks=2,
                           upsampling_ratios=(2,), residual_kernel_size=1, num_residual_layers=16,
                           dilation_growth_rate=64)  # fmt: skip
    weights = seeded(config)
    plain = dataclasses.replace(config, dilation_growth_rate=1)
    dense = Weights.from_tensors(plain, weights.tensors, name="dense", trained=False)
    pcm = music(300)
    codes = [Codec(each, engine=engine).encode(pcm) for each in (weights, dense)]
    np.testing.assert_array_equal(*codes)


@pytest.mark.parametrize("name", FAMILIES)
def test_copies_and_pickles(name: str) -> None:
    codec, pcm = pair(name).single, music(5000)
    assert copy.deepcopy(codec) is codec
    again = pickle.loads(pickle.dumps(codec))
    np.testing.assert_array_equal(again.encode(pcm), codec.encode(pcm))
    stream = codec.stream()
    first = stream.push(pcm[:3000])
    other = pickle.loads(pickle.dumps(stream))
    np.testing.assert_array_equal(other.push(pcm[3000:]), stream.push(pcm[3000:]))
    np.testing.assert_array_equal(other.flush(), stream.flush())
    assert first.shape[1] == 3000 // codec.hop_length


@pytest.mark.asyncio
@pytest.mark.parametrize("name", FAMILIES)
async def test_the_service(name: str) -> None:
    # Any exact engine will do, and a server warms it up, which takes torch in float64 ten seconds and more.
    codec, pcm = pair(name).single if NATIVE_BUILT else pair(name).double, music(20000)
    codes = codec.encode(pcm)

    async def pieces(signal: Any, size: int) -> AsyncIterator[Any]:
        for piece in cut(signal, [size] * signal.shape[-1]):
            yield piece

    async with serving(codec, max_streams=4) as server:
        results = []
        for mode, signal, size in (("encode", pcm, 1777), ("decode", codes, 3)):
            async with streamrvq.connect(server.url, mode, sample_rate=24000) as stream:  # type: ignore[arg-type]
                stream.feed(pieces(signal, size))
                results.append([item async for item in stream])
            assert stream.ready is not None
            assert stream.ready.first_frames == (7 if name == "encodec" else None)
    np.testing.assert_array_equal(joined(results[0], "encode"), codes)
    np.testing.assert_allclose(joined(results[1], "decode"), codec.decode(codes), rtol=0, atol=1e-6)
