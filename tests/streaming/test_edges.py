"""Edges: every length from 1 sample to three hops and three samples, first and last frame included, nothing cropped.

Padded to hops of 512, every fourth length and those beside a hop's end: the others differ in the number of zeros alone.

Knows: the default strides (hop 512) and odd ones, both tails, both kinds of weights, float64. The reference pads the
whole signal; the stream knows only tails and masks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from streamrvq.codec import Codec
from streamrvq.families import plan
from tests.reference.plain_dac import PlainDAC
from tests.support.contract import CLOSE, codec_of, minute, noise, plain_of, streamed

HOP_512 = (2, 4, 8, 8)
ROWS = 16  # as many as one step takes
SIGNAL = noise(4 * 512, seed=1)


def frames_by_length(codec: Codec, lengths: list[int], tail: str) -> dict[int, Any]:
    """Codes of the first ``n`` samples of `SIGNAL` for each ``n``: every fourth one alone, the others as a pool's rows.

    Alone, they are pushed in unequal pieces; those that are alone with one tail are not so with the other. Rows have
    other clocks and ends in the same step, and cost less.
    """
    alone = lengths[0 if tail == "valid" else 2 :: 4]
    found, others = {}, [length for length in lengths if length not in alone]
    for length in alone:
        sizes = [1 + length % 7, 1 + length * 31 % 611]
        found[length] = streamed(codec.stream(tail=tail), SIGNAL[:length], sizes)
    for start in range(0, len(others), ROWS):
        found |= in_a_pool(codec, others[start : start + ROWS], tail)
    return dict(sorted(found.items()))


def in_a_pool(codec: Codec, lengths: list[int], tail: str = "pad", codes: Any = None) -> dict[int, Any]:
    """The same for up to `ROWS` lengths that share their steps; the samples of the first ``n`` ``codes`` with these."""
    pool = codec.pool(ROWS, "encode" if codes is None else "decode")
    streams = {pool.open(**({"tail": tail} if codes is None else {})): length for length in lengths}
    parts: dict[int, list[Any]] = {length: [] for length in lengths}
    for stream, length in streams.items():
        pool.feed(stream, (SIGNAL if codes is None else codes)[..., :length])
        pool.close(stream)
    while batch := pool.next_batch():
        batch.run()
        for output in pool.complete(batch):
            parts[streams[output.stream]].append(output.data)
    assert pool.open_streams == 0
    return {length: np.concatenate(data, axis=-1) for length, data in parts.items()}


def plain_codes(plain: PlainDAC, lengths: list[int]) -> dict[int, Any]:
    """The reference's codes of each length, unpadded: encoded alone, and the frames of all quantised at once."""
    with torch.no_grad():
        latents = [plain.encoder(torch.tensor(SIGNAL[:length], dtype=plain.dtype)[None, None]) for length in lengths]
        _, codes, _ = plain.quantize(torch.cat(latents, -1), plain.config.n_codebooks)
    parts = codes[0].numpy(), np.cumsum([z.shape[-1] for z in latents])[:-1]
    return dict(zip(lengths, np.split(*parts, axis=1), strict=True))


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("rates", [HOP_512, (3, 5, 7)], ids=str)
def test_every_short_length_encodes_exactly_unpadded(causal: bool, rates: tuple[int, ...], part: int) -> None:
    config = minute(rates, causal=causal, n_codebooks=9)
    codec, plain, hop = codec_of(config), plain_of(config), config.hop_length
    lengths = list(range(1 + part, 3 * hop + 4, 4))
    wanted = plain_codes(plain, lengths)
    for length, codes in frames_by_length(codec, lengths, "valid").items():
        assert codes.shape == wanted[length].shape
        np.testing.assert_array_equal(codes, wanted[length], err_msg=f"{length} samples")


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("rates", [HOP_512, (3, 5, 7)], ids=str)
def test_every_short_length_encodes_exactly_padded(causal: bool, rates: tuple[int, ...], part: int) -> None:
    config = minute(rates, causal=causal, n_codebooks=9)
    codec, plain, hop = codec_of(config), plain_of(config), config.hop_length
    # Lengths that pad to the same hops differ in zeros alone. Those beside a hop's end are all here.
    lengths = [n for n in range(1 + part, 3 * hop + 4, 4) if hop < 512 or n // 4 % 4 == 0 or (n + 3) % hop < 7]
    for hops in range(1, 5):  # one batch for all lengths that pad to the same number of hops
        same = [n for n in lengths if -(-n // hop) == hops]
        if not same:
            continue
        batch = np.zeros((len(same), hops * hop), np.float32)
        for row, length in zip(batch, same, strict=True):
            row[:length] = SIGNAL[:length]
        wanted = plain.encode(batch).codes.numpy()
        assert wanted.shape[2] >= hops - 1
        for row, (length, codes) in zip(wanted, frames_by_length(codec, same, "pad").items(), strict=True):
            np.testing.assert_array_equal(codes, row, err_msg=f"{length} samples")


def test_output_padding_is_nothing_at_even_strides(causal: bool) -> None:
    """So the test below needs these strides only once."""
    padded, bare = (plan(minute(HOP_512, causal=causal, output_padding=value), "decode") for value in (True, False))
    assert padded == bare


@pytest.mark.parametrize(
    ("rates", "output_padding"),
    [(HOP_512, False), *((rates, padding) for rates in ((3, 5, 7), (2, 4, 5, 8)) for padding in (False, True))],
    ids=str,
)
def test_every_short_number_of_frames_decodes_exactly(
    causal: bool, rates: tuple[int, ...], output_padding: bool
) -> None:
    config = minute(rates, causal=causal, output_padding=output_padding)
    codec, plain = codec_of(config), plain_of(config)
    codes = np.random.default_rng(2).integers(0, config.codebook_size, (config.n_codebooks, 40))
    found = {
        frames: [
            codec.decode(codes[:, :frames]),
            streamed(codec.decoder_stream(), codes[:, :frames], [1] * (frames % 9) + [frames % 5]),
        ]
        for frames in range(1, 41, 3)
    }
    others = [frames for frames in range(1, 41) if frames not in found]
    for start in range(0, len(others), ROWS):
        rows = in_a_pool(codec, others[start : start + ROWS], codes=codes)
        found |= {frames: [pcm] for frames, pcm in rows.items()}
    assert len(found) == 40
    for frames, ways in found.items():
        wanted = plain.decode(codes[:, :frames])[0].numpy()
        for pcm in ways:
            assert pcm.shape == wanted.shape
            # The first and last samples have no special place: the bound is one for all.
            np.testing.assert_allclose(pcm, wanted, rtol=0, atol=CLOSE, err_msg=f"{frames} frames")


@pytest.mark.parametrize("where", ["first", "last"])
def test_the_edge_frames_depend_on_the_edge_samples(causal: bool, where: str) -> None:
    """The comparison above sees the edges: a change of one sample there changes the frame that it compares."""
    config = minute(HOP_512, causal=causal, n_codebooks=9)
    codec = codec_of(config)
    pcm = SIGNAL[: 3 * 512 + 3].copy()
    before = codec.encode(pcm)
    pcm[0 if where == "first" else -1] += 5
    after = codec.encode(pcm)
    assert before.shape == after.shape == (9, 4)
    frame = 0 if where == "first" else -1
    assert before[:, frame].tolist() != after[:, frame].tolist()


@pytest.mark.parametrize("tail", ["pad", "valid"])
def test_no_samples_give_no_frames(causal: bool, tail: str) -> None:
    codec = codec_of(minute(HOP_512, causal=causal))
    assert codec.encode(np.zeros(0, np.float32), tail=tail).shape == (3, 0)
    assert codec.stream(tail=tail).flush().shape == (3, 0)
    assert codec.decode(np.zeros((3, 0), np.int64)).shape == (0,)
    assert codec.decoder_stream().flush().shape == (0,)


def test_a_batch_equals_its_rows_at_the_edges(causal: bool) -> None:
    codec = codec_of(minute(HOP_512, causal=causal))
    for length in (1, 511, 512, 513, 1539):
        rows = np.stack([noise(length, seed=row) for row in range(ROWS)])
        both = codec.encode(rows)
        for row, codes in zip(rows, both, strict=True):
            np.testing.assert_array_equal(codec.encode(row), codes)
