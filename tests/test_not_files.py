"""Every reader, given what is no file: a pipe, a device, a folder, links in a circle, a name that no file can have.

A named pipe would be waited for without an end, and ``/dev/zero`` be read without one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrvq.audio.files import open_audio
from streamrvq.audio.writing import write_audio
from streamrvq.corpus import encode_corpus
from streamrvq.corpus.encoding.reading import Task, read_source
from streamrvq.corpus.manifests import read_manifest
from streamrvq.corpus.sources import find_sources
from streamrvq.errors import AudioFileError, InputError, StreamRVQError
from streamrvq.tokens import DacFile, TokenFile, open_tokens, read_tokens, write_dac, write_tokens
from streamrvq.tokens.journal import TokenJournal, recover
from streamrvq.train.config import TrainConfig
from streamrvq.train.corpus import load
from streamrvq.weights import load_weights, save_weights
from tests.support.patience import PATIENCE

#: Readers, each with the end of a name that it takes for its own.
READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "a source of a run": (".wav", lambda path: list(read_source(Task(path, "one"), 44100, 4096))),
    "tokens": (".safetensors", read_tokens),
    "a token file": (".safetensors", lambda path: list(open_tokens(path))),
    "a shard": (".parquet", lambda path: list(open_tokens(path))),
    "a journal": (".safetensors.journal", recover),
    "weights": (".safetensors", load_weights),
    "a torch file": (".pth", load_weights),
    "a list of files": (".jsonl", lambda path: list(read_manifest(Path(path)))),
    "a table of files": (".parquet", lambda path: list(read_manifest(Path(path)))),
    "a training manifest": (".csv", lambda path: load([path], 16000, Path(path).parent / "cache")),
}
SETTINGS = (".toml", lambda path: TrainConfig.read(Path(path)))


def read_all(folder: Path) -> list[str]:
    """What the readers say to files called ``x`` with their suffixes."""
    said = []
    for name, (suffix, read) in READERS.items():
        try:
            read(str(folder / f"x{suffix}"))
        except StreamRVQError as error:
            said.append(name)
            assert str(error).isprintable()
    return said


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipes = [tmp_path / f"x{suffix}" for suffix in {suffix for suffix, _ in READERS.values()}]
    waited = threading.Event()

    def end() -> None:
        """A writer comes and goes, so that a reader that waits for one fails."""
        waited.set()
        for pipe in pipes:
            os.close(os.open(pipe, os.O_RDWR))

    for pipe in pipes:
        os.mkfifo(pipe)
    (timer := threading.Timer(PATIENCE, end)).start()
    try:
        assert read_all(tmp_path) == list(READERS)
    finally:
        timer.cancel()
    assert not waited.is_set()


@pytest.mark.parametrize("target", ["/dev/zero", ".", "x"])
def test_audio_that_is_no_file(tmp_path: Path, target: str) -> None:
    """A pipe is read as it comes, and so it is waited for (tests/audio/test_byte_source.py)."""
    (tmp_path / "x.wav").symlink_to("x.wav" if target == "x" else target)
    with pytest.raises(AudioFileError, match="cannot open"):
        open_audio(tmp_path / "x.wav")


@pytest.mark.parametrize("target", ["/dev/zero", ".", "x"])
def test_devices_folders_and_links_in_a_circle(tmp_path: Path, target: str) -> None:
    for suffix, _ in READERS.values():
        if not os.path.lexists(tmp_path / f"x{suffix}"):
            (tmp_path / f"x{suffix}").symlink_to(f"x{suffix}" if target == "x" else target)
    assert read_all(tmp_path) == list(READERS)


@pytest.mark.parametrize("name", ["x" * 5000, "x\0", "\ud800"])
@pytest.mark.parametrize("reader", [*READERS, "settings"])
def test_names_that_no_file_can_have(reader: str, name: str) -> None:
    suffix, read = {**READERS, "settings": SETTINGS}[reader]
    with pytest.raises(StreamRVQError):
        read(name + suffix)


def test_settings_without_an_end_are_refused(tmp_path: Path) -> None:
    for name in ("x.toml", "x.json"):
        (tmp_path / name).symlink_to("/dev/zero")
        with pytest.raises(StreamRVQError, match="no end"):
            TrainConfig.read(tmp_path / name)


def test_settings_may_come_from_a_pipe(tmp_path: Path) -> None:
    """As a shell gives them with ``<(…)``."""
    reader, writer = os.pipe()
    os.write(writer, b"[codec]\nencoder_dim = 'x'\n")
    os.close(writer)
    with pytest.raises(StreamRVQError, match="encoder_dim is 'x'"):
        TrainConfig.read(Path(f"/dev/fd/{reader}"))


def test_a_folder_of_weights_is_not_read_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("/dev/zero")
    with pytest.raises(StreamRVQError, match="a pipe or a device"):
        load_weights(tmp_path)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_gigabytes_of_zeros_are_refused_by_their_first_bytes(tmp_path: Path, name: str) -> None:
    with open(tmp_path / name, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(StreamRVQError, match=name):
        load_weights(tmp_path / name)


def test_a_long_name_among_sources_is_listed_like_any_that_is_not_there() -> None:
    assert len(find_sources(["x" * 5000 + ".wav"])) == 1


def test_links_in_a_circle_are_named_by_training(tmp_path: Path) -> None:
    (tmp_path / "x.wav").symlink_to("x.wav")
    with pytest.raises(InputError, match=r"holds no audio; .*x\.wav \(a link that leads to nothing\)"):
        load([str(tmp_path)], 16000, tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\0b", "no file can be named so"),
        ("\ud800", "no file can be named so"),
        ("x" * 300, "too long|more than 255 bytes"),
    ],
    ids=["nul", "surrogate", "long"],
)
def test_a_name_that_no_file_can_have_is_not_written(
    tmp_path: Path, wav: Path, weights: Path, name: str, said: str
) -> None:
    path, small = str(tmp_path / name), load_weights(weights)
    empty = TokenFile(np.zeros((2, 0), int), "other", "0" * 64, False, 44100, 8, 44100, 0)
    dac = DacFile(np.zeros((1, 2, 3), int), 3, 20, -20.0, 44100)
    writers: list[Callable[[], Any]] = [
        lambda: write_tokens(path, empty),
        lambda: write_dac(path, dac),
        lambda: TokenJournal(path, empty),
        lambda: write_audio(f"{path}.wav", np.zeros(1, np.float32), 44100),
        lambda: encode_corpus([wav], path, weights, workers=1),
        lambda: save_weights(small, f"{path}.safetensors"),
        lambda: save_weights(small, path, "huggingface"),
    ]
    for write in writers:
        with pytest.raises(StreamRVQError, match=said):
            write()
    assert not [entry for entry in os.listdir(tmp_path) if entry != wav.name]
