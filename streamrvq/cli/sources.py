"""What ``encode`` reads: audio files, folders of them, and stdin, where a container is decoded or raw samples come.

The first bytes decide. What begins like a container is decoded, for encoding its bytes as samples would give noise.
``--raw`` says that they are samples whatever they look like.

Knows: names on the command line, and how raw samples are asked for. Does not know: codes, lines, targets.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy.typing as npt
import typer

from ..audio.byte_source import ByteSource
from ..audio.containers import container
from ..audio.files import AudioReader
from ..audio.find import PassedOver, search
from ..audio.rates import check_rate
from ..audio.sample_formats import FORMATS, SampleFormat, check_rate_given
from ..errors import InputError
from ..system.foreign_data import shown
from .common import refuse_ignored
from .stored.targets import Source

RawOption = Annotated[
    str | None,
    typer.Option(
        "--raw", metavar="RATE[:FORMAT]", help="With -: these are raw samples, whatever their first bytes look like."
    ),
]
#: Bytes that one read requests; it returns earlier with what there is.
READ_BYTES = 1 << 16
_RAW = re.compile(r"(\d{1,9})(?::(\w{1,16}))?", re.ASCII)


class Raw(NamedTuple):
    """What ``--raw`` asks for."""

    rate: int
    format: str


def raw_option(text: str | None) -> Raw | None:
    """Parse ``"16000"`` or ``"16000:f32le"``. None stays None. Raises `InputError`."""
    if text is None:
        return None
    found = _RAW.fullmatch(text)
    if found is None:
        raise InputError(f"--raw is {shown(text)}; wanted RATE or RATE:FORMAT, such as 16000 or 16000:f32le")
    sample_format(found[2] or "s16le")
    return Raw(check_rate(int(found[1]), "--raw"), found[2] or "s16le")


def sample_format(name: str) -> SampleFormat:
    """The format of that name; `InputError` where there is none."""
    if name not in FORMATS:
        raise InputError(f"format is {name!r}; wanted {' or '.join(FORMATS)}, raw samples of one channel")
    return FORMATS[name]


class RawSamples:
    """Raw samples on stdin.

    Attributes:
        sample_rate: Hz; None: it was not said.
    """

    def __init__(self, source: ByteSource, rate: int | None, format: str) -> None:
        self.sample_rate, self._name, self._format = rate, format, sample_format(format)
        self._pipe, self._rest = source.pipe, b""

    def blocks(self, samples: int) -> Iterator[npt.NDArray[Any]]:
        """Whole samples ``[n]`` as they come; ``samples`` does not matter."""
        assert self._pipe is not None
        while data := self._pipe.read(READ_BYTES):
            data = self._rest + data
            whole = len(data) - len(data) % self._format.width
            self._rest = data[whole:]
            yield self._format.read(data[:whole])
        self._pipe.check()

    def close(self) -> None:
        """Nothing: stdin is not ours to close."""

    def finish(self, taken: int) -> None:
        """Refuse a part of a sample at the end with an `InputError`; ``taken``: whole samples before it."""
        if self._rest:
            raise InputError(
                f"the stream ended with {len(self._rest)} bytes of a sample of {self._format.width}, after {taken} "
                f"whole samples; wanted {self._name}: check --format, or whether it was cut off"
            )


class Decoded(AudioReader):
    """A container on stdin."""

    def finish(self, taken: int) -> None:
        """Nothing: whatever is wrong was said when it was read."""


def open_stdin(
    rate: int | None = None, format: str | None = None, raw: Raw | None = None, **reading: Any
) -> RawSamples | Decoded:
    """Look at stdin's first bytes, and open what it is.

    Args:
        rate: of raw samples, Hz; None: it was not said.
        format: of raw samples; None: s16le.
        raw: what ``--raw`` says: then the first bytes decide nothing.
        reading: as `open_audio` takes it, for a container.

    Raises:
        InputError: a container, and ``rate`` or ``format`` were given; raw samples, and something of ``reading`` was;
            or as `open_audio`.
        AudioFileError: as `open_audio`.
    """
    if raw is not None and (rate is not None or format is not None):
        raise InputError("--raw says rate and format; leave --rate and --format out")
    sample_format(format or "s16le")
    if rate is not None:
        check_rate(rate, "--rate")
    check_rate_given(format or "s16le", rate)
    if raw is not None:
        _refuse_for_raw(**reading)
    source = ByteSource(sys.stdin.buffer, once=True, name="stdin")
    if raw is not None:
        return RawSamples(source, raw.rate, raw.format)
    kind = container(source)
    if kind is None:
        _refuse_for_raw(**reading)
        return RawSamples(source, rate, format or "s16le")
    if rate is not None or format is not None:
        raise InputError(
            f"stdin begins like {kind}, which says its own rate and format: leave --rate and --format out; or say "
            "--raw RATE:FORMAT if these are raw samples"
        )
    return Decoded(source, **reading)


def _refuse_for_raw(downmix: bool = False, truncated: str = "refuse", track: int | None = None) -> None:
    refuse_ignored(
        {"--downmix": downmix, "--truncated": truncated != "refuse", "--track": track is not None},
        "raw samples on stdin, which are of one channel and say no length",
        "pipe a container, such as WAV",
    )


def audio_files(sources: list[str], passed: list[PassedOver]) -> list[Source]:
    """Every audio file, with the relative path that it gets under -o. What folders hold beside goes to ``passed``.

    Raises:
        InputError: a folder without audio files.
    """
    found: list[Source] = []
    for text in sources:
        if not text:  # as a shell gives it whose variable is not set; a path would take it for this folder
            raise InputError("an empty name was given; wanted an audio file or a folder, such as . for this one")
        source = Path(text)
        if not os.path.isdir(source):  # unlike Path's, it takes a name that is too long
            found.append(Source(source, Path(source.name)))
            continue
        inside = search(source)
        inside.check(source)
        passed += inside.passed
        found += [Source(path, path.relative_to(source)) for path in inside.audio]
    return found
