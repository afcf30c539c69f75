"""``.dac`` files of descript's package on the command line: `encode -o NAME.dac`, `decode NAME.dac`.

Knows: what such a file needs beside the tokens, and how its samples go to a file. Does not know: the format (tokens/).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...audio.files import open_audio
from ...audio.loudness import Loudness
from ...codec import Codec, load
from ...config import CodecConfig
from ...corpus.encoding.reading import Task
from ...errors import InputError
from ...system.foreign_data import one_line
from ...tokens import DacFile, TokenFile, read_dac, write_dac, write_tokens
from ...tokens.dac.decoding import decompressed

SUFFIX = ".dac"


def is_dac(path: str | Path | None) -> bool:
    """Whether a name is that of a ``.dac`` file."""
    return path is not None and Path(path).suffix.lower() == SUFFIX


def store(source: Path, target: Path, tokens: TokenFile, task: Task) -> None:
    """Write a file's tokens as the target's name says. For ``.dac`` the audio is read again, for its loudness.

    Args:
        source: the audio file.
        target: of the tokens.
        tokens: to be written.
        task: how the audio was read.

    Raises:
        InputError: tokens of ``--tail valid``, which no ``.dac`` file holds.
        TokensError: they cannot be written.
        AudioFileError: the audio cannot be read again.
    """
    if not is_dac(target):
        write_tokens(target, tokens)
        return
    if tokens.tail != "pad":
        raise InputError(f"{target} would hold tokens without the last part of a hop; leave --tail valid out")
    how: dict[str, Any] = {"downmix": task.channels == "mean", "truncated": task.truncated, "track": task.track}
    with open_audio(str(source), **how) as audio:
        measure = Loudness(audio.sample_rate)
        for block in audio.blocks(1 << 16):
            measure.push(block)
    write_dac(
        target,
        DacFile(
            codes=tokens.codes[np.newaxis], chunk_length=max(1, tokens.codes.shape[1]),
            original_length=tokens.num_samples, input_db=measure.value(), sample_rate=tokens.source_rate,
        ),
    )  # fmt: skip


def facts_of(path: str) -> tuple[str, dict[str, Any], list[tuple[str, str]]]:
    """What `info` says of a ``.dac`` file: heading, figures, lines. Raises `TokensError` if it cannot be read."""
    file = read_dac(path)
    channels, levels, frames = file.codes.shape
    seconds = file.original_length / file.sample_rate
    facts = {
        "kind": "dac", "path": path, "channels": channels, "n_quantizers": levels, "frames": frames,
        "num_samples": file.original_length, "source_rate": file.sample_rate, "seconds": seconds,
        "input_db": file.input_db,
    }  # fmt: skip
    return f"tokens of {one_line(path)}", facts, [
        ("format", "descript's .dac, which does not say which codec made it"),
        ("length", f"{seconds:.3f} s, {file.original_length} samples at {file.sample_rate} Hz"),
        ("frames", f"{frames} of {levels} levels"),
        ("channels", str(channels)),
        ("loudness", f"{file.input_db:.1f} LUFS"),
    ]  # fmt: skip


def decode_dac(
    path: str, codec: str | None, channel: int | None, **asked: Any
) -> tuple[Codec, npt.NDArray[np.float32], int]:
    """The codec, the samples of one channel of a ``.dac`` file, float32 ``[samples]``, and their rate.

    descript's package gives each channel the loudness of the whole signal, and so does this.

    Args:
        path: of the file.
        codec: which one made it; the file does not say.
        channel: from 0; None: there is one.
        asked: as `load` takes it.

    Raises:
        InputError: no codec was named, or one of another kind; or there are several channels, or no such one.
    """
    file = read_dac(path)
    if channel is None and len(file.codes) > 1:
        raise InputError(f"{path} has {len(file.codes)} channels; choose one with --channel N, from 0")
    if channel is not None and not 0 <= channel < len(file.codes):
        raise InputError(f"{path} has {len(file.codes)} channels; wanted channel {channel}, from 0")
    file = dataclasses.replace(file, codes=file.codes[channel or 0][np.newaxis])
    if codec is None:
        raise InputError(f"{path} does not say which codec made it; give descript's weights with --codec")
    opened = load(codec, **asked)
    config = opened.config
    if not isinstance(config, CodecConfig) or (config.causal and not file.padding):
        raise InputError(f"{path} holds codes of a DAC codec in chunks; {opened.name} is none that makes such")
    return opened, decompressed(file, opened, config.decoder_rates)[0], file.sample_rate
