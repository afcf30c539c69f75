"""Mimi's peers: rustymimi, moshi and transformers, each with a streaming of its own that takes a hop of 80 ms a call.

Knows: how they are loaded and called. Does not know: how they are timed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from .models import MissingPeerError, imported, reference
from .rows import Bar, Row

LEVELS = 8  #: as Moshi has
HOP = 1920
BARS = (Bar("hop by hop", "hop by hop", 3.0), Bar("in bulk", "in bulk", 3.0))


def peers(model: Any, package: Path, pcm: Any, codes: Any) -> list[Row]:
    """All three, of samples ``[n]`` and codes ``[K, T]``; one that does not start has a row that says so."""
    rows = _transformers(model, torch.from_numpy(pcm)[None, None], torch.from_numpy(codes)[None])
    for name, runtime, of in (("rustymimi", "Rust", _rustymimi), ("moshi", "PyTorch", _moshi)):
        try:
            rows += of(package, pcm, codes)
        except MissingPeerError as error:
            rows.append(Row(name, runtime, "encode", "hop by hop", None, str(error)))
    return rows


def _rows(name: str, runtime: str, calls: Any, notes: tuple[str, ...] = ("", "", "", "")) -> list[Row]:
    ways: Any = [("encode", "hop by hop"), ("decode", "hop by hop"), ("encode", "in bulk"), ("decode", "in bulk")]
    return [Row(name, runtime, way, mode, run, note) for (way, mode), run, note in zip(ways, calls, notes, strict=True)]


def _transformers(model: Any, pcm: Any, codes: Any) -> list[Row]:
    def encode() -> None:
        keys = padding = None
        for block in torch.split(pcm, HOP, -1):
            out = model.encode(
                block, num_quantizers=LEVELS, use_streaming=True, encoder_past_key_values=keys, padding_cache=padding
            )
            keys, padding = out.encoder_past_key_values, out.padding_cache

    def decode() -> None:
        keys = None
        for frame in torch.split(codes, 1, -1):
            keys = model.decode(frame, decoder_past_key_values=keys).decoder_past_key_values

    calls = (encode, decode, lambda: model.encode(pcm, num_quantizers=LEVELS), lambda: model.decode(codes))
    notes = ("", "its convolutions keep nothing between calls", "", "")
    return _rows("transformers MimiModel", "PyTorch", calls, notes)


def _moshi(package: Path, samples: Any, frames: Any) -> list[Row]:
    mimi = reference("moshi_loaders").get_mimi(None, num_codebooks=32).eval()
    mimi.load_state_dict(load_file(package))
    mimi.set_num_codebooks(LEVELS)
    pcm, codes = torch.from_numpy(samples)[None, None], torch.from_numpy(frames)[None]

    def encode() -> None:
        with mimi.streaming(1):
            for block in torch.split(pcm, HOP, -1):
                mimi.encode(block)

    def decode() -> None:
        with mimi.streaming(1):
            for frame in torch.split(codes, 1, -1):
                mimi.decode(frame)

    return _rows("moshi", "PyTorch", (encode, decode, lambda: mimi.encode(pcm), lambda: mimi.decode(codes)))


def _rustymimi(package: Path, samples: Any, frames: Any) -> list[Row]:
    rusty = imported("rustymimi").Tokenizer(str(package), num_codebooks=LEVELS)
    pcm, codes = samples[None, None], frames[None].astype(np.uint32)
    frames_apart = [np.ascontiguousarray(codes[..., i : i + 1]) for i in range(codes.shape[-1])]

    def encode() -> None:
        rusty.reset()
        for start in range(0, pcm.shape[-1], HOP):
            rusty.encode_step(pcm[..., start : start + HOP])

    def decode() -> None:
        rusty.reset()
        for frame in frames_apart:
            rusty.decode_step(frame)

    def whole(call: Any, values: Any) -> None:
        rusty.reset()
        call(values)

    calls = (encode, decode, lambda: whole(rusty.encode, pcm), lambda: whole(rusty.decode, codes))
    return _rows("rustymimi", "Rust", calls)
