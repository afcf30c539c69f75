"""Many files in one step: whatever is put together, the shards are byte for byte those of one file at a time.

The wide engine is the native one, or torch's in float64 where that was not built, which says that it likes larger
steps: its bits are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.codec import Codec
from streamrvq.corpus import encode_corpus
from streamrvq.corpus.encoding.encoder import Closed, Coded, Encoder, Opened, Read, step_of, streams_at_once
from streamrvq.corpus.encoding.open import workers_for
from streamrvq.corpus.encoding.reading import Done, Failed, ReadHere, Task
from streamrvq.engine.base import Engine
from streamrvq.engine.native import NativeEngine
from streamrvq.errors import AudioFileError
from streamrvq.weights import Weights
from tests.support.contract import CUDA, QUICK, codec_of, minute, needs_native, noise, weights_of
from tests.support.corpora import failed_in, make_audio, same_bytes, signals_in

RATES = (44100, 16000, 48000)


class Wide:
    """An engine that likes ``row_hops`` rows × hops in a step, and notes the steps that it makes."""

    def __init__(self, inner: Engine, row_hops: int) -> None:
        self.inner, self.row_hops = inner, row_hops
        self.steps: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode_step(self, pcm: Any, *others: Any) -> Any:
        self.steps.append((pcm.shape[0], pcm.shape[1] // self.inner.config.hop_length))
        return self.inner.encode_step(pcm, *others)


def wide(row_hops: int, causal: bool = False) -> tuple[Codec, Wide]:
    codec = codec_of(minute(causal=causal), *QUICK)
    engine = Wide(codec.engine, row_hops)
    weights: Weights = weights_of(codec.config)
    return Codec(weights, engine=engine), engine  # type: ignore[arg-type]


def written(folder: Path, lengths: Sequence[int]) -> list[Path]:
    """Files of so many samples at different rates; a negative length: one that is cut off."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, length in enumerate(lengths):
        path = folder / f"{number:03d}.{'flac' if length < 0 else 'wav'}"
        soundfile.write(path, noise(abs(length), number)[: abs(length)], RATES[number % len(RATES)])
        if length < 0:
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        paths.append(path)
    return paths


def encoded(encoder: Encoder, paths: Sequence[Path], channels: str = "one") -> tuple[dict[int, Any], list[Any]]:
    """For each file its codes, or None where it failed; and all items."""
    parts: dict[int, Any] = {number: [np.zeros((3, 0), np.uint16)] for number in range(len(paths))}
    items = []
    for number, item in encoder.run((i, Task(str(path), channels)) for i, path in enumerate(paths)):
        items.append((number, item))
        if isinstance(item, Coded):
            parts[number].append(item.codes)
        elif isinstance(item, Failed):
            parts[number] = None
    return {n: None if part is None else np.concatenate(part, axis=1) for n, part in parts.items()}, items


LENGTHS = st.lists(st.one_of(st.integers(0, 60), st.integers(0, 2500), st.integers(-40_000, -20_000)), max_size=12)


@given(lengths=LENGTHS, row_hops=st.sampled_from([32, 64, 100, 256, 2048]), block=st.integers(1, 3000), data=st.data())
def test_codes_are_those_of_each_file_alone(
    tmp_path: Path, lengths: list[int], row_hops: int, block: int, data: st.DataObject
) -> None:
    shutil.rmtree(tmp_path / "in", ignore_errors=True)
    paths = written(tmp_path / "in", lengths)
    codec, engine = wide(row_hops, causal=data.draw(st.booleans()))
    reading = ReadHere(streams_at_once(engine), codec.sample_rate, max(block, sum(map(abs, lengths)) // 400))
    tail = data.draw(st.sampled_from(["pad", "valid"]))
    codes, items = encoded(Encoder(codec, reading, None, tail), paths)
    for number, (path, length) in enumerate(zip(paths, lengths, strict=True)):
        mine = [item for i, item in items if i == number]
        if length < 0:
            assert codes[number] is None
            (failure,) = [item for item in mine if isinstance(item, Failed)]
            assert isinstance(failure.error, AudioFileError)
            continue
        pcm, rate = soundfile.read(path, dtype="float32")
        np.testing.assert_array_equal(codes[number], codec.encode(pcm, rate, tail=tail))
        assert isinstance(mine[0], Opened)
        assert mine[-2:] == [Closed(len(pcm)), Done()]
        reports = [item.position for item in mine if isinstance(item, Read)]
        assert reports == sorted(set(reports))
        assert reports[-1:] == [len(pcm)] * (len(pcm) > 0)
    assert max((rows * hops for rows, hops in engine.steps), default=0) <= row_hops
    assert max((rows for rows, _ in engine.steps), default=0) <= streams_at_once(engine)


@given(ready=st.lists(st.integers(0, 5000), max_size=70), row_hops=st.integers(1, 4096))
def test_a_step_is_possible_and_not_much_smaller_than_any_other(ready: list[int], row_hops: int) -> None:
    rows, hops = step_of(ready, row_hops, 64)
    assert sum(count >= hops for count in ready) >= rows
    assert rows * hops <= row_hops
    assert (rows == 0) == (max(ready, default=0) == 0)
    assert rows & (rows - 1) in (0, -1)
    assert hops & (hops - 1) in (0, -1) or hops == row_hops // rows
    ready.sort(reverse=True)
    largest = max(
        ((i + 1) * min(count, row_hops // (i + 1)) for i, count in enumerate(ready) if i < row_hops), default=0
    )
    assert largest <= 4 * rows * hops


def test_one_stream_takes_what_there_is() -> None:
    assert [step_of([hops], 32, 1) for hops in (0, 5, 32, 33)] == [(0, 0), (1, 5), (1, 32), (1, 32)]


def test_short_files_fill_wide_steps(tmp_path: Path) -> None:
    codec, engine = wide(1024)
    paths = written(tmp_path / "in", [8 * 64] * 96)
    encoded(Encoder(codec, ReadHere(32, codec.sample_rate, 1 << 16)), paths)
    sizes = [rows * hops for rows, hops in engine.steps]
    assert sum(size for size in sizes if size >= 256) > 0.75 * sum(sizes)  # one file at a time has at most 180 hops
    assert len(set(engine.steps)) < 30  # few sizes, for each of which an engine may have to prepare


def test_last_hops_of_files_do_not_keep_their_readers(tmp_path: Path) -> None:
    """They wait for each other, and what reads goes on with the next file: few steps, and a few at a time read."""
    codec, engine = wide(1024)
    paths = written(tmp_path / "in", [8 * 67] * 96)
    codes, _ = encoded(Encoder(codec, ReadHere(2, codec.sample_rate, 1 << 16)), paths)
    assert len(engine.steps) < 96  # one for each file, at least, if its reader waited
    for path, came in zip(paths[:3], codes.values(), strict=False):
        np.testing.assert_array_equal(came, codec.encode(*soundfile.read(path, dtype="float32")))


def test_a_long_file_fills_them_alone(tmp_path: Path) -> None:
    codec, engine = wide(1024)
    encoded(Encoder(codec, ReadHere(32, codec.sample_rate, 8 * 1024)), written(tmp_path / "in", [8 * 1024 * 5]))
    assert engine.steps[:4] == [(1, 1024)] * 4


# ------------------------------------------------------------------------------------------------------- whole shards


@pytest.fixture
def widen(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def likes(row_hops: int) -> None:
        monkeypatch.setattr(NativeEngine, "row_hops", row_hops)

    return likes


@needs_native
@pytest.mark.parametrize(
    ("readers", "channels"), [(0, "one"), (0, "mean"), (0, "each"), (1, "mean"), (3, "one"), (3, "each")]
)
def test_shards_are_the_same_bytes(
    tmp_path: Path, weights: Path, widen: Callable[[int], None], readers: int, channels: str
) -> None:
    audio = make_audio(tmp_path / "in")
    written(audio / "more", [int(n) for n in np.random.default_rng(5).integers(-9000, 9000, 25)])
    (audio / "text.wav").write_text("no audio")
    settings: dict[str, Any] = {"channels": channels, "segment_seconds": 0.05, "shard_bytes": 40_000, "workers": 1}
    alone = encode_corpus([audio], tmp_path / "alone", weights, **settings)
    widen(2048)
    together = encode_corpus([audio], tmp_path / "together", weights, readers=readers, **settings)
    assert alone.failed
    assert together.failed == alone.failed
    assert list(failed_in(tmp_path / "together").items()) == list(failed_in(tmp_path / "alone").items())
    assert same_bytes(tmp_path / "alone", tmp_path / "together")
    assert together.encoded_seconds == pytest.approx(alone.encoded_seconds, abs=1)


@needs_native
@pytest.mark.skipif(not CUDA, reason="the kernels cannot be emulated here")
@pytest.mark.parametrize("chosen", [{"devices": ["cuda:0"]}, {"engine": "cuda"}])
def test_a_device_gives_the_tokens_of_the_cpu(
    tmp_path: Path, weights: Path, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = [*written(tmp_path / "in", [300, 90, 0, 150, -20_000, 40]), tmp_path / "gone.wav"]
    on_cpu = encode_corpus(audio, tmp_path / "cpu", weights, workers=1, devices=["cpu"])
    monkeypatch.setattr("streamrvq.corpus.job.load", None)  # an engine is made by whoever computes, not before
    done = encode_corpus(audio, tmp_path / "cuda", weights, workers=1, readers=1, **chosen)
    assert done.failed == on_cpu.failed
    assert len(done.failed) == 2
    ours, theirs = signals_in(tmp_path / "cuda"), signals_in(tmp_path / "cpu")
    assert list(ours) == list(theirs)
    for name, codes in ours.items():
        np.testing.assert_array_equal(codes, theirs[name])


def test_the_next_step_is_under_way_when_codes_are_handed_on(tmp_path: Path) -> None:
    """A GPU must not wait for whoever writes them."""
    codec, engine = wide(64)
    length = 64 * 20 * codec.hop_length
    paths = written(tmp_path / "in", [length] * 2)
    encoder = Encoder(codec, ReadHere(2, codec.sample_rate, length), None, "pad")
    begun = []
    for _, item in encoder.run((i, Task(str(path), "mean")) for i, path in enumerate(paths)):
        if isinstance(item, Coded):
            begun.append(encoder._underway.batch is not None)
    assert len(engine.steps) > 20
    assert sum(begun) >= len(begun) - 4


@pytest.mark.parametrize(
    ("cores", "devices", "wanted"), [(2, 1, 1), (8, 1, 2), (16, 1, 3), (64, 1, 3), (64, 8, 16), (4, 8, 8), (16, 0, 0)]
)
def test_workers_share_a_card_where_there_are_cores_for_them(
    monkeypatch: pytest.MonkeyPatch, cores: int, devices: int, wanted: int
) -> None:
    monkeypatch.setattr("streamrvq.corpus.encoding.open.available_cores", lambda: cores)
    assert workers_for(devices) == wanted
