"""File objects and pipes as sources: where they are read from, what they may not give, what stays open."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from streamrvq import File, InputError
from streamrvq.audio.byte_source import ByteSource
from streamrvq.audio.files import open_audio
from streamrvq.errors import AudioFileError
from tools.fuzzing.targets.audio import OnceOnly

PCM = (np.arange(20_000) % 1000 / 2048).astype(np.float32)


def audio(container: str = "FLAC") -> bytes:
    whole, big = io.BytesIO(), container == "RIFX"
    soundfile.write(whole, PCM, 16_000, format="WAV" if big else container, endian="BIG" if big else None)
    return whole.getvalue()


def test_an_object_is_read_from_its_start_and_stays_open() -> None:
    source = io.BytesIO(audio())
    source.seek(0, os.SEEK_END)
    with open_audio(source) as reader:
        assert reader.path == "a BytesIO"
        np.testing.assert_allclose(reader.read(30_000), PCM, atol=1e-4)
    assert not source.closed


class Silent(io.BytesIO):
    """Its `seek` gives nothing."""

    def seek(self, *where: int) -> None:  # type: ignore[override]
        super().seek(*where)


@pytest.mark.parametrize("container", ["FLAC", "AIFF", "RIFX RIFX"])
def test_an_object_whose_seek_gives_nothing(container: str) -> None:
    with open_audio(Silent(b"".join(map(audio, container.split()))), truncated="keep") as reader:
        np.testing.assert_allclose(reader.read(30_000), PCM, atol=1e-4)


@pytest.mark.asyncio
async def test_an_object_that_is_closed_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "a.flac").write_bytes(audio())
    with path.open("rb") as source:
        file = File(source, realtime=False)
    for _ in range(2):
        with pytest.raises(InputError, match=r"a\.flac is closed; wanted it open"):
            await blocks_of(file)


def test_a_path_is_opened_where_the_system_has_no_flag_for_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows. No child inherits the file all the same."""
    (path := tmp_path / "a.flac").write_bytes(audio())
    monkeypatch.delattr(os, "O_CLOEXEC")
    with contextlib.closing(ByteSource(path)) as source:
        assert not os.get_inheritable(source.file.fileno())


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    for container in ("WAV", "FLAC", "OGG"):
        path = os.path.join(os.fsencode(tmp_path), b"caf\xe9." + container.encode())
        Path(os.fsdecode(path)).write_bytes(audio(container))
        with open_audio(os.fsdecode(path)) as reader:
            assert len(reader.read(30_000)) == 20_000


@pytest.mark.parametrize("source", [5, None, b"a.wav", io.StringIO("RIFF")])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(InputError, match="wanted"):
        open_audio(source)


class Failing(io.BytesIO):
    """Gives some bytes, and then raises."""

    def __init__(self, data: bytes, error: BaseException) -> None:
        super().__init__(data)
        self.left, self.error = 9, error

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().read(size)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionResetError("gone"), KeyError("x")])
@pytest.mark.parametrize("once", [False, True])
def test_what_a_source_raises_comes_out(error: BaseException, once: bool, capfd: pytest.CaptureFixture[str]) -> None:
    source: Any = Failing(audio("OGG") * 300, error)
    if once:
        source.seekable = lambda: False
        source.read1 = lambda size: source.read(min(size, 500))
    with pytest.raises((type(error), AudioFileError)), open_audio(source) as reader:
        while len(reader.read(4000)):
            pass
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionResetError("gone"), KeyError("x")])
@pytest.mark.parametrize("container", ["WAV", "WAV WAV", "AIFF", "RIFX", "RIFX RIFX"])
def test_what_a_source_raises_is_not_taken_for_its_end(
    container: str, error: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    """At any of its reads, also where a later part is left out."""
    data, left = b"".join(map(audio, container.split())), 0
    while True:
        source = Failing(data, error)
        source.left = left
        try:
            with open_audio(source, truncated="keep") as reader:
                samples = sum(map(len, reader.blocks(4000)))
            break
        except (type(error), AudioFileError):
            left += 1
    assert samples == len(PCM)
    assert left > 8
    assert capfd.readouterr().err == ""


class Full(io.BytesIO):
    """A file on a full disk."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_pipe_for_which_there_is_no_room_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CAF is put into a temporary file."""
    full = Full()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with monkeypatch.context() as patched, pytest.raises(AudioFileError) as refused:
        patched.setattr(tempfile, "TemporaryFile", lambda **how: full)
        open_audio(OnceOnly(audio("CAF")))
    assert f"a temporary file in {tmp_path}, which failed (No space left on device); make room" in str(refused.value)
    assert full.closed
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(AudioFileError, match=r"absent, which failed \(No such file or directory\)"):
        open_audio(OnceOnly(audio("CAF")))


async def blocks_of(file: File) -> np.ndarray[Any, Any]:
    return np.concatenate([block async for block in file])


@pytest.mark.asyncio
async def test_file_takes_objects_and_reads_a_pipe_once() -> None:
    async with File(io.BytesIO(audio()), realtime=False) as file:
        for _ in range(2):
            np.testing.assert_allclose(await blocks_of(file), PCM, atol=1e-4)
    async with File(OnceOnly(audio()), realtime=False) as file:
        np.testing.assert_allclose(await blocks_of(file), PCM, atol=1e-4)
        with pytest.raises(AudioFileError, match="is read once, and that pass is over"):
            await blocks_of(file)
