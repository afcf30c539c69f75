"""``.dac`` files: ours are read by descript's package, theirs by us, and nothing in one is ever run."""

from __future__ import annotations

import builtins
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import InputError, TokensError, load
from streamrvq.audio.loudness import Loudness
from streamrvq.codec import Codec
from streamrvq.tokens import DacFile, read_dac, write_dac
from streamrvq.tokens.dac.decoding import decompressed, middle_of
from tests.reference.official import official_dac, save_official_dac
from tests.support.contract import noise

RATES = (2, 4, 4, 8)
LEVEL = -20.0


@pytest.fixture(scope="module")
def official() -> Any:
    torch.manual_seed(0)
    return official_dac(encoder_dim=4, encoder_rates=RATES, decoder_dim=32, decoder_rates=RATES[::-1], n_codebooks=3,
                        codebook_size=32, codebook_dim=4, sample_rate=16000)  # fmt: skip


@pytest.fixture(scope="module")
def codec(official: Any, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    path = tmp_path_factory.mktemp("official") / "w.pth"
    save_official_dac(official, path)
    return load(path)


@pytest.fixture
def base(official: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of descript's `DACFile`. Its measure of loudness, pyloudnorm, is not there: all signals have one."""
    import audiotools  # type: ignore[import-untyped]
    from dac.model import base as module  # type: ignore[import-untyped]

    monkeypatch.setattr(audiotools.AudioSignal, "loudness", lambda self: torch.tensor([LEVEL]))
    return module


def test_theirs_is_read(base: Any, official: Any, codec: Codec, tmp_path: Path) -> None:
    """Whole and in chunks: the codes are the same numbers, and the samples theirs, save at the edges of chunks."""
    pcm = noise(48000, 1, 0.1)[:48000]
    for seconds in (None, 1.0):
        signal = base.AudioSignal(torch.from_numpy(pcm)[None, None], 16000)
        theirs = official.compress(signal, win_duration=seconds, normalize_db=None)
        file = read_dac(theirs.save(tmp_path / "theirs.dac"))
        assert (file.codes == theirs.codes.numpy()).all()
        assert (file.padding, file.chunk_length) == (seconds is None, theirs.chunk_length)
        assert (file.original_length, file.sample_rate, file.input_db) == (48000, 16000, LEVEL)
        wanted = official.decompress(theirs).audio_data[0].numpy()
        ours = decompressed(
            DacFile(file.codes, file.chunk_length, 48000, LEVEL, 16000, file.padding), codec, RATES[::-1]
        )
        measure = Loudness(16000)
        measure.push(ours[0])
        assert measure.value() == pytest.approx(LEVEL, abs=0.05)
        gain = float(np.dot(ours[0], wanted[0]) / np.dot(ours[0], ours[0]))  # theirs has none here
        different = np.abs(gain * ours - wanted) > 1e-4 * np.abs(wanted).max()
        if seconds is None:
            assert ours.shape == wanted.shape
            assert not different.any()
        else:
            _, length = middle_of(file.chunk_length, RATES[::-1])
            at = np.flatnonzero(different[0]) % length
            assert len(at) < 0.1 * ours.shape[1]
            assert np.minimum(at, length - at).max() <= 700  # the halves of their transposed convolutions


def test_ours_is_read_by_theirs(base: Any, official: Any, codec: Codec, tmp_path: Path) -> None:
    pcm = noise(20000, 2, 0.1)[:20000]
    codes = codec.encode(pcm)
    write_dac(tmp_path / "ours.dac", DacFile(codes[None], codes.shape[1], 20000, LEVEL, 16000))
    theirs = base.DACFile.load(tmp_path / "ours.dac")
    assert (theirs.codes.numpy() == codes).all()
    audio = official.decompress(tmp_path / "ours.dac").audio_data.numpy()
    assert audio.shape == (1, 1, 20000)
    np.testing.assert_allclose(audio[0, 0], codec.decode(codes)[:20000], atol=1e-4)


@given(data=st.data())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 20)))
    codes = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 1 << 16, shape)
    file = DacFile(codes, max(1, shape[2]), data.draw(st.integers(0, 2**40)), data.draw(st.floats(-70, 0, width=32)),
                   data.draw(st.integers(1, 768_000)), data.draw(st.booleans()))  # fmt: skip
    path = tmp_path_factory.mktemp("dac") / "x.dac"
    write_dac(path, file)
    back = read_dac(path)
    assert (back.codes == codes).all()
    assert repr(back) == repr(file)
    for protocol in (2, 3, 4):  # as older numpy wrote them
        content = np.load(path, allow_pickle=True)
        head = path.read_bytes()[: path.read_bytes().index(b"\n") + 1]
        path.with_suffix(".old").write_bytes(head + pickle.dumps(content, protocol))
        if protocol > 2:
            assert (read_dac(path.with_suffix(".old")).codes == codes).all()


class _Runs:
    """Unpickled, it would call something."""

    def __init__(self, what: Any, *arguments: Any) -> None:
        self.call = what, arguments

    def __reduce__(self) -> Any:
        return self.call


GOOD: dict[str, Any] = {"input_db": np.float32([-20]), "original_length": 5, "sample_rate": 16000, "chunk_length": 3,
                        "channels": 1, "padding": True, "dac_version": "1.0.0"}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        _Runs(os.system, "touch ran"), _Runs(builtins.eval, "open('ran', 'w')"), _Runs(builtins.len, "ran"),
        {"codes": _Runs(builtins.open, "ran", "w"), "metadata": GOOD},
        {"codes": np.zeros((1, 1, 3), np.uint16), "metadata": GOOD | {"x": _Runs(builtins.open, "ran", "w")}},
        {"codes": np.zeros((1, 1, 3), np.uint16), "metadata": GOOD | {"x": os}}, 5, [], {}, None, {"codes": 3},
        {"codes": [1], "metadata": GOOD}, {"codes": np.zeros((1, 3), np.uint16), "metadata": GOOD},
        {"codes": np.zeros((2, 1, 3), np.uint16), "metadata": GOOD},
        {"codes": np.zeros((1, 1, 3), np.float32), "metadata": GOOD},
        {"codes": np.full((1, 1, 3), -1), "metadata": GOOD},
        *({"codes": np.zeros((1, 1, 3), np.uint16), "metadata": GOOD | {name: value}} for name, value in (
            ("dac_version", "2.0"), ("padding", 1), ("channels", "1"), ("chunk_length", 0), ("chunk_length", 2.5),
            ("sample_rate", -1), ("original_length", None), ("input_db", np.float32([np.nan])),
            ("input_db", np.zeros(2)), ("input_db", "loud"), ("input_db", 1e5), ("input_db", np.float64([-201.0])))),
    ],
)  # fmt: skip
def test_other_content_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any) -> None:
    monkeypatch.chdir(tmp_path)
    box = np.empty((), object)
    box[()] = content
    try:
        np.save("x.npy", box)
    except TypeError:  # a module has no pickle
        return
    Path("x.npy").rename("x.dac")
    with pytest.raises(TokensError, match=r"x\.dac"):
        read_dac("x.dac")
    assert not Path("ran").exists()


@pytest.mark.parametrize("loudness", [-200.0, 200.0])
def test_every_loudness_that_is_read_is_decoded(codec: Codec, loudness: float) -> None:
    file = DacFile(codec.encode(noise(2000, 1))[None], 5, 2000, loudness, 16000)
    assert np.isfinite(decompressed(file, codec, RATES[::-1])).all()
    with pytest.raises(InputError, match="from 1000 to 768000"):
        decompressed(DacFile(file.codes, 5, 2000, loudness, 999), codec, RATES[::-1])


@given(data=st.data())
def test_damaged_files_are_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("dac") / "x.dac"
    write_dac(path, DacFile(np.arange(12).reshape(1, 3, 4), 4, 9, -20.0, 16000))
    right = path.read_bytes()
    at, byte = data.draw(st.integers(0, len(right) - 1)), data.draw(st.integers(0, 255))
    path.write_bytes(data.draw(st.sampled_from([right[:at], right[:at] + bytes([byte]) + right[at + 1 :]])))
    try:
        read_dac(path)
    except TokensError as error:
        assert str(error).isprintable()
        assert "x.dac" in str(error)


@pytest.mark.parametrize("name", ["chunk_length", "sample_rate"])
def test_a_file_without_frames_has_a_rate_and_chunks(name: str) -> None:
    right: dict[str, Any] = {"codes": np.zeros((1, 2, 0), int), "chunk_length": 1, "original_length": 0,
                             "input_db": -70.0, "sample_rate": 1}  # fmt: skip
    assert DacFile(**right).sample_rate == 1
    with pytest.raises(TokensError, match=f"^{name} is 0; wanted a whole number from 1 to"):
        DacFile(**(right | {name: 0}))


def test_values_of_numpy_and_torch_are_taken(tmp_path: Path) -> None:
    codes = np.arange(6).reshape(1, 2, 3)
    file = DacFile(torch.from_numpy(codes), np.int64(3), np.int32(5), np.float32(-20), np.uint16(16000))  # type: ignore[arg-type]
    write_dac(tmp_path / "x.dac", file)
    read = read_dac(tmp_path / "x.dac")
    np.testing.assert_array_equal(read.codes, codes)
    assert (read.chunk_length, read.original_length, read.input_db, read.sample_rate) == (3, 5, -20, 16000)
    assert [type(value) for value in (file.chunk_length, file.original_length, file.input_db)] == [int, int, float]


@pytest.mark.parametrize("value", ["loud", None, [-20.0], np.array([-20.0])], ids=str)
def test_a_loudness_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(TokensError, match="wanted True or False, and LUFS from -200 to 200"):
        DacFile(np.zeros((1, 2, 3), int), 3, 5, value, 16000)
