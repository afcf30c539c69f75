"""What an engine is asked on a GPU and on a CPU, and the hashes of what it answers.

Knows: codecs, steps of rows and hops, ages and ends of streams, the contract of engine/base.py. Does not know: which
engine answers.

All inputs come from PCG64's raw words, which numpy keeps stable for ever, so that they are the same wherever this runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrvq.bench.stand_in import stand_in
from streamrvq.config import PRESETS, CodecConfig, Config
from streamrvq.engine.base import Engine
from streamrvq.families import plan
from streamrvq.families.encodec import EncodecConfig
from streamrvq.families.mimi import MimiConfig
from streamrvq.geometry import Direction
from streamrvq.weights.seeded import seeded
from streamrvq.weights.value import Weights

#: (rows, hops) of a step. Below 64, between tiles' sizes, and above them; few hops of many, many of few.
SHAPES = (
    (1, 1), (1, 7), (3, 1), (5, 2), (2, 33), (64, 8), (16, 1), (64, 1), (7, 8), (33, 3), (4, 64), (1, 300),
)  # fmt: skip
#: Hops that a row has behind it when a case begins. An age of 0 begins with the start of its signal.
AGES = (0, 3, 1, 1000, 0, 50_000)


@dataclasses.dataclass(frozen=True)
class Codec:
    """A codec, and how much of it is computed.

    Attributes:
        seconds: audio of all rows together in each case; the steps of a case are as many as that takes, at least two.
        shapes: (rows, hops) of the cases.
    """

    name: str
    config: Config
    seconds: float
    shapes: tuple[tuple[int, int], ...] = SHAPES

    def weights(self) -> Weights:
        """Numbers that fill float32, as trained ones do, and the same everywhere."""
        return _weights(self)


@lru_cache(maxsize=1)  # those of the largest codec take seconds
def _weights(codec: Codec) -> Weights:
    return stand_in(seeded(codec.config, name=codec.name))


#: Every tile that takes whole stages fits into the layers of this one.
EVEN = CodecConfig(
    encoder_dim=64, encoder_rates=(2, 4), decoder_dim=256, decoder_rates=(4, 2), latent_dim=64, n_codebooks=5,
    codebook_size=96,
)  # fmt: skip
#: Channels of all residues modulo 4, strides that are odd, a quantiser of odd sizes.
ODD = CodecConfig(
    encoder_dim=6, encoder_rates=(3, 2), decoder_dim=36, decoder_rates=(2, 3), latent_dim=21, n_codebooks=3,
    codebook_size=33, codebook_dim=5,
)  # fmt: skip

#: The same of the other families: even widths, an LSTM, attention whose window slides; and odd ones.
EVEN_ENCODEC = EncodecConfig(
    num_filters=32, hidden_size=64, codebook_dim=64, upsampling_ratios=(4, 2), n_codebooks=5, codebook_size=300,
)  # fmt: skip
ODD_ENCODEC = EncodecConfig(
    num_filters=6, hidden_size=21, codebook_dim=21, upsampling_ratios=(2, 3), n_codebooks=3, codebook_size=33,
    num_residual_layers=2, use_conv_shortcut=False, num_lstm_layers=1, last_kernel_size=5, pad_mode="replicate",
)  # fmt: skip
EVEN_MIMI = MimiConfig(
    num_filters=32, hidden_size=64, codebook_dim=32, upsampling_ratios=(4, 2), n_codebooks=5, codebook_size=300,
    num_hidden_layers=2, num_attention_heads=4, head_dim=16, intermediate_size=128, upsample_groups=64,
    sliding_window=20,
)  # fmt: skip
ODD_MIMI = MimiConfig(
    num_filters=6, hidden_size=30, codebook_dim=30, upsampling_ratios=(2, 3), n_codebooks=4, codebook_size=33,
    num_hidden_layers=1, num_attention_heads=3, head_dim=6, intermediate_size=45, upsample_groups=30, latent_stride=3,
    sliding_window=7, num_semantic_quantizers=2, use_conv_shortcut=True, pad_mode="reflect",
)  # fmt: skip

SMALL = (
    Codec("even", EVEN, 0.05),
    Codec("even-causal", dataclasses.replace(EVEN, causal=True, stem=4), 0.2),
    Codec("odd", ODD, 0.02),
    Codec("odd-causal", dataclasses.replace(ODD, causal=True, output_padding=True), 0.02),
    Codec("odd-padding", dataclasses.replace(ODD, encoder_dim=5, decoder_dim=20, output_padding=True), 0.02),
)
SOME = ((1, 7), (5, 9), (33, 1))
FAMILIES = (
    Codec("even-encodec", EVEN_ENCODEC, 0.02, SOME),
    Codec("even-mimi", EVEN_MIMI, 0.02, SOME),
    Codec("odd-encodec", ODD_ENCODEC, 0.005, (*SOME, (3, 1), (2, 33))),
    Codec("odd-mimi", ODD_MIMI, 0.01, (*SOME, (3, 1), (2, 33))),
)
#: All presets at full width.
FULL = (
    Codec("causal-44khz", PRESETS["causal-44khz"], 10.0),
    Codec("dac-44khz", PRESETS["dac-44khz"], 2.0),
    Codec("dac-24khz", PRESETS["dac-24khz"], 0.7, SHAPES[1::3]),
    Codec("dac-16khz", PRESETS["dac-16khz"], 0.7, SHAPES[2::3]),
    Codec("rvq-breakdown", PRESETS["rvq-breakdown"], 0.5, SHAPES[3::4]),
)
#: The released models of the other families, at full width.
FULL_FAMILIES = (
    Codec("encodec-24khz", EncodecConfig(), 2.0, ((1, 7), (3, 1), (64, 8), (16, 1), (33, 3), (1, 300))),
    Codec("mimi-24khz", MimiConfig(), 4.0, ((1, 1), (5, 2), (17, 1), (3, 16), (1, 150))),
)
CODECS = {codec.name: codec for codec in (*SMALL, *FAMILIES, *FULL, *FULL_FAMILIES)}


@dataclasses.dataclass(frozen=True)
class Case:
    """Steps of one shape in one direction: a stream in every row, of several ages, some of which end."""

    codec: Codec
    direction: Direction
    rows: int
    hops: int
    steps: int

    @property
    def name(self) -> str:
        return f"{self.codec.name} {self.direction} {self.rows}x{self.hops}"

    @property
    def row_hops(self) -> int:
        return self.rows * self.hops * self.steps


def cases(codec: Codec, factor: float = 1.0) -> Iterator[Case]:
    """All of a codec; ``factor`` times the usual seconds."""
    wanted = factor * codec.seconds * codec.config.sample_rate / codec.config.hop_length
    for rows, hops in codec.shapes:
        steps = max(2, -(-int(wanted) // (rows * hops)))
        for direction in ("encode", "decode"):
            yield Case(codec, direction, rows, hops, steps)


class Numbers:
    """Random numbers that are the same with every numpy."""

    def __init__(self, name: str) -> None:
        words = np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4")
        self._source = np.random.PCG64(np.random.SeedSequence([int(word) for word in words]))

    def below(self, most: int, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """Whole numbers from 0 to ``most`` − 1."""
        raw = np.asarray(self._source.random_raw(int(np.prod(shape))), dtype="<u8")
        return ((raw >> np.uint64(32)) % np.uint64(most)).astype(np.int64).reshape(shape)

    def audio(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Noise at about −20 dBFS, float32."""
        return ((self.below(1 << 20, shape) - (1 << 19)) * 2.0**-21).astype(np.float32)


class Streams:
    """The rows of a case, and what comes next for each."""

    def __init__(self, case: Case) -> None:
        self.case, config = case, case.codec.config
        self._numbers = Numbers(case.name)
        unit = config.hop_length if case.direction == "encode" else 1
        self.slots: npt.NDArray[np.int64] = np.argsort(self._numbers.below(1 << 30, (case.rows,)))
        first = plan(config, case.direction).first  # a shorter step begins no signal
        ages = [age or (0 if case.hops >= first else first) for age in AGES]
        self.clock = np.array([ages[row % len(ages)] for row in range(case.rows)], np.int64)
        end = self.clock + self._numbers.below(case.steps * case.hops, (case.rows,))  # within the steps
        inputs = end * unit + self._numbers.below(unit, (case.rows,))
        self.length = np.where(np.arange(case.rows) % 3 == 1, np.maximum(inputs, 1), -1).astype(np.int64)
        self.levels = 1 + (case.rows + case.hops) % config.n_codebooks

    def begin(self, engine: Engine) -> Any:
        """States of the rows' ages. Their histories are zeros, which no engine minds."""
        states = engine.new_states(self.case.rows, self.case.direction)
        for slot, clock in zip(self.slots.tolist(), self.clock.tolist(), strict=True):
            if clock:
                engine.import_state(states, slot, engine.export_state(states, slot), clock)
        return states

    def inputs(self) -> npt.NDArray[Any]:
        """Of the next step: pcm, or codes of which some are missing."""
        case, config = self.case, self.case.codec.config
        if case.direction == "encode":
            return self._numbers.audio((case.rows, case.hops * config.hop_length))
        shape = case.rows, self.levels, case.hops
        missing = self._numbers.below(8, shape) == 0
        return np.where(missing, -1, self._numbers.below(config.codebook_size, shape))

    def step(self, engine: Engine, states: Any, inputs: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """The outputs of a step. `advance` comes after it."""
        where = states, self.slots, self.clock, self.length
        if self.case.direction == "decode":
            return [engine.decode_step(inputs, *where)]
        codes, latents = engine.encode_step(inputs, *where, self.levels, True)
        assert latents is not None
        return [codes, latents]

    def advance(self) -> None:
        self.clock = self.clock + self.case.hops


def digest(arrays: list[npt.NDArray[Any]]) -> str:
    """16 hexadecimal digits of the bits of arrays, their kinds and their shapes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype} {list(array.shape)}\n".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def answers(engine: Engine, case: Case) -> list[str]:
    """The digest of each step's outputs, and last of all streams' states and hop counts after them."""
    streams = Streams(case)
    states, digests = streams.begin(engine), []
    for _ in range(case.steps):
        digests.append(digest(streams.step(engine, states, streams.inputs())))
        streams.advance()
    digests.append(state_digest(engine, states, streams))
    return digests


def state_digest(engine: Engine, states: Any, streams: Streams) -> str:
    """Of all rows' histories and hop counts."""
    histories = [array for slot in streams.slots.tolist() for array in engine.export_state(states, slot)]
    return digest([*histories, engine.hop_counts(states, streams.slots)])
