"""TrainConfig: everything that decides a training run, as a frozen value read from TOML or JSON.

Knows: the settings, their defaults and their limits. Does not know: tensors, or where a run's files are.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args

from ..config import CodecConfig
from ..errors import ConfigError
from ..families import decoder_plan, encoder_plan
from ..system.foreign_data import foreign_data, one_line, shown
from .numbers import check_distinct, check_numbers, check_within, is_weight

Precision = Literal["bf16", "float32"]
Codebooks = Literal["ema", "gradient"]

#: The largest values of whole numbers that decide how much is allocated, far above what a machine can train with.
LIMITS = {
    "batch": 1 << 16,
    "frames": 1 << 16,
    "shards": 1 << 12,
    "samples": 1 << 28,  # in a batch: 1 GiB
    "codebook_frames": 1 << 24,
    "validation_clips": 1 << 16,
    "validation_seconds": 3600,
    "discriminator_width": 1 << 12,
    "stft_windows": 1 << 20,  # samples of each
    "ns_steps": 99,
    "bytes": 1 << 18,  # of the settings file
}
_MOST_DOTS = 64  #: outside of quotes, in a line of TOML
_NAME = re.compile(r"[^./\\][^/\\]{0,59}")  #: a path's last part, of at most 240 bytes in UTF-8, and not hidden
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


@dataclasses.dataclass(frozen=True)
class Augment:
    """How crops are augmented. Shares are probabilities."""

    gain_db: tuple[float, float] = (-18.0, 4.0)  #: less where the crop would clip
    polarity: float = 0.5
    tilt: float = 0.25  #: share of crops with a smooth random equaliser
    tilt_db: float = 3.0  #: its standard deviation at each of its six nodes
    mix: float = 0.15  #: share of crops with another one added
    mix_db: tuple[float, float] = (-15.0, -3.0)

    def __post_init__(self) -> None:
        check_numbers(self, LIMITS)
        check_within(self, ("polarity", "tilt", "mix"), 0, 1)
        check_within(self, ("gain_db", "mix_db"), -200, 200)
        check_within(self, ("tilt_db",), 0, 40)  # a node may be off by ten times that, and float32 ends at 770 dB
        for name in ("gain_db", "mix_db"):
            if getattr(self, name)[0] > getattr(self, name)[1]:
                raise ConfigError(f"{name} is {shown(getattr(self, name))}; wanted the lower end first")


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weights of the losses' gradients at the decoder's output, after each was brought to length 1 for every clip."""

    mel: float = 1.0
    stft: float = 0.0
    compressed: float = 1.0
    wave: float = 0.0
    adversarial: float = 1.0
    feature: float = 2.0
    commitment: float = 0.25  #: a plain loss, beside the balanced ones
    codebook: float = 1.0  #: as `commitment`; only with ``codebooks = "gradient"``

    def __post_init__(self) -> None:
        check_numbers(self, LIMITS)
        check_within(self, (field.name for field in dataclasses.fields(self)), 0)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run.

    Args:
        codec, name: what is trained, and the name of its weights.
        train, validation: folders of audio, or manifests (.csv); relative to the configuration's file.
        kinds: how often each ``kind`` of the manifest is drawn, as a share. Kinds not named keep their share of time.
        seed: decides every random choice.
        steps: optimiser steps in all.
        batch, frames: clips in each step, and their length in frames.
        shards: parts of a batch that are computed side by side on a CPU, each by its own thread. It belongs to the run,
            not to the machine: so a run gives the same bits on any number of cores. A GPU computes the batch as one.
        plain_steps: steps without the quantiser, before the codebooks are made; 0 makes them from the first values.
        codebook_frames: frames from which the codebooks are made.
        codebooks_again: shares of ``steps`` after which the codebooks are made again. Entries follow the latents, but
            the axes that they lie on do not turn as fast. If it happens late, the decoder has no time to adapt.
        pole: see `codebooks.make_codebooks`.
        codebooks: "ema": entries follow the mean of their latents; "gradient": DAC's codebook loss.
        codebook_decay: of that mean, in each step.
        expire: an entry that is used less than this share of the mean use is replaced by a latent of the batch.
        lr: learning rate of the matrices of encoder and decoder (optimizer.py).
        small_lr: learning rate of all else: biases, alphas, the filters at both ends, the quantiser's projections.
        lr_final, warmup, decay_from: both rates rise over ``warmup`` steps, and again after ``plain_steps``. From
            ``decay_from`` on (a share of ``steps``) they fall as a cosine, to ``lr_final`` times their value.
        ns_steps: Newton-Schulz iterations of Muon; five take a third of a step's time.
        betas, weight_decay: of AdamW; Muon has the same weight decay.
        ema: decay of the averaged weights, which are validated and exported.
        clip: the greatest norm of the gradient in a step.
        precision: of the convolutions; losses and the quantiser always use float32.
        adversarial_from: the first step with discriminators; None: never.
        loss, augment: see `LossWeights` and `Augment`.
        stft_windows: windows of the STFT loss in samples, some of `spectra.MEL_WINDOWS`.
        discriminator_width: their channels, 32 in DAC. A run that goes on with another width makes new ones.
        discriminator_lr: their learning rate, which stays.
        log_every, validate_every, checkpoint_every: in steps.
        validation_clips, validation_seconds: how many excerpts are validated with, and their length at most.

    Raises:
        ConfigError: a value of another type, or out of its range.
    """

    codec: CodecConfig
    name: str = "codec"
    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    kinds: dict[str, float] = dataclasses.field(default_factory=dict)
    seed: int = 0
    steps: int = 20000
    batch: int = 8
    frames: int = 32
    shards: int = 2
    plain_steps: int = 0
    codebook_frames: int = 16384
    codebooks_again: tuple[float, ...] = ()
    pole: float = 0.25
    codebooks: Codebooks = "ema"
    codebook_decay: float = 0.99
    expire: float = 0.1
    lr: float = 3e-3
    small_lr: float = 1e-4
    lr_final: float = 0.03
    warmup: int = 100
    ns_steps: int = 5
    decay_from: float = 0.0
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.01
    ema: float = 0.999
    clip: float = 50.0
    precision: Precision = "bf16"
    loss: LossWeights = dataclasses.field(default_factory=LossWeights)
    augment: Augment = dataclasses.field(default_factory=Augment)
    stft_windows: tuple[int, ...] = (2048, 512, 128)
    adversarial_from: int | None = None
    discriminator_width: int = 32
    discriminator_lr: float = 2e-4
    log_every: int = 50
    validate_every: int = 1000
    checkpoint_every: int = 500
    validation_clips: int = 24
    validation_seconds: float = 4.0

    def __post_init__(self) -> None:
        for name, wanted in (("codec", CodecConfig), ("loss", LossWeights), ("augment", Augment)):
            if not isinstance(getattr(self, name), wanted):
                raise ConfigError(f"{name} is {shown(getattr(self, name))}; wanted a {wanted.__name__}")
        check_numbers(self, LIMITS)
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or not self.name.isprintable():
            raise ConfigError(
                f"name is {shown(self.name)}; wanted the name of a file of weights without its suffix, such as codec"
            )
        for name in ("train", "validation"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(entry, str) for entry in value):
                raise ConfigError(f"{name} is {shown(value)}; wanted a list of folders, manifests or files")
        if not isinstance(self.kinds, dict) or not all(
            isinstance(kind, str) and is_weight(share) for kind, share in self.kinds.items()
        ):
            raise ConfigError(f"kinds is {shown(self.kinds)}; wanted a number of at least 0 for each kind")
        for name in ("batch", "frames", "steps", "log_every", "validate_every", "checkpoint_every", "validation_clips",
                     "shards", "codebook_frames", "discriminator_width", "ns_steps"):  # fmt: skip
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"{name} is {value!r}; wanted a whole number of at least 1")
        for name, allowed in (("precision", get_args(Precision)), ("codebooks", get_args(Codebooks))):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {shown(getattr(self, name))}; wanted one of {', '.join(allowed)}")
        if self.batch % self.shards:
            raise ConfigError(
                f"batch is {self.batch} and shards {self.shards}; wanted a batch that is a multiple of it"
            )
        shares = ("ema", "codebook_decay", "expire", "decay_from", "lr_final", "betas", "codebooks_again")
        check_within(self, shares, 0, 1)
        check_distinct("stft_windows", self.stft_windows)
        check_distinct("codebooks_again", self.codebooks_again)
        if 1 in self.betas or min(self.weight_decay, self.pole) < 0 or min(self.clip, self.validation_seconds) <= 0:
            raise ConfigError(
                f"betas is {self.betas}, weight_decay {self.weight_decay}, pole {self.pole}, clip {self.clip} and "
                f"validation_seconds {self.validation_seconds}; wanted betas below 1, no negative weight_decay or "
                "pole, and clip and validation_seconds above 0"
            )
        for name, example in (("lr", "3e-3"), ("small_lr", "1e-4"), ("discriminator_lr", "2e-4")):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; wanted a number between 0 and 1, such as {example}"
                )
        object.__setattr__(self, "betas", tuple(map(float, self.betas)))  # torch refuses whole numbers
        if not self.stft_windows and self.loss.stft + self.loss.compressed > 0:
            raise ConfigError(
                "stft_windows is (); wanted windows for the losses stft and compressed, or both of weight 0"
            )
        samples = self.samples
        decoded = decoder_plan(self.codec).outputs(encoder_plan(self.codec).outputs(samples))  # which may be fewer
        if decoded <= 2048 // 2:
            raise ConfigError(f"a crop of {self.frames} frames has {decoded} samples; wanted over 1024: raise frames")
        if self.batch * samples > LIMITS["samples"]:
            raise ConfigError(
                f"{self.batch} crops of {samples} samples are {self.batch * samples} in a batch; "
                f"wanted at most {LIMITS['samples']}"
            )

    @property
    def samples(self) -> int:
        """Samples of a crop."""
        return self.frames * self.codec.hop_length

    @property
    def step_seconds(self) -> float:
        """Seconds of audio in a step."""
        return self.batch * self.samples / self.codec.sample_rate

    def to_dict(self) -> dict[str, Any]:
        """JSON types; the inverse of `from_dict`."""
        return {**json.loads(json.dumps(dataclasses.asdict(self))), "codec": self.codec.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """The inverse of `to_dict`. Raises `ConfigError` for an unknown key or a bad value."""
        with foreign_data(ConfigError, "the training configuration", "wanted a table of settings"):
            values = dict(values)
            if not isinstance(values.get("codec"), dict):
                raise ConfigError("the training configuration has no codec; wanted a table [codec] of codec settings")
            values["codec"] = CodecConfig.from_dict(values["codec"])
            for name, kind in (("loss", LossWeights), ("augment", Augment)):
                if name in values:
                    values[name] = _made(kind, values[name], name)
            made: TrainConfig = _made(cls, values, "the training configuration")
            return made

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        """Read a .toml or .json file. Relative data paths in it start from its folder. Raises `ConfigError`."""
        with foreign_data(ConfigError, str(path), "wanted TOML, or JSON in a .json"):
            try:
                size = path.stat().st_size
                if size > LIMITS["bytes"]:
                    raise ConfigError(f"{path} has {size} bytes; wanted a run's settings, at most {LIMITS['bytes']}")
                with path.open(encoding="utf-8") as file:  # a device states no size
                    text = file.read(LIMITS["bytes"] + 1)
                if len(text) > LIMITS["bytes"]:
                    raise ConfigError(f"{path} has no end; wanted a run's settings, at most {LIMITS['bytes']} bytes")
            except OSError as error:
                raise ConfigError(f"cannot read {path}: {error.strerror or error}; wanted a run's settings") from None
            try:
                values = json.loads(text) if path.suffix == ".json" else _toml(text)
            except (ValueError, RecursionError) as error:
                raise ConfigError(
                    f"{path} cannot be parsed ({one_line(error)}); wanted TOML, or JSON in a .json"
                ) from None
            if not isinstance(values, dict):
                raise ConfigError(f"{path} holds a {type(values).__name__}; wanted a table of settings")
            config = cls.from_dict(values)
            return dataclasses.replace(
                config,
                train=tuple(str((path.parent / entry).resolve()) for entry in config.train),
                validation=tuple(str((path.parent / entry).resolve()) for entry in config.validation),
            )


def _toml(text: str) -> Any:
    """TOML without keys of many parts: the time that such keys take grows as the square of their number."""
    for number, line in enumerate(text.splitlines(), 1):
        if _QUOTED.sub("", line).count(".") > _MOST_DOTS:
            raise ValueError(f"line {number} has more than {_MOST_DOTS} dots")
    return tomllib.loads(text)


def _made(kind: Any, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is a {type(values).__name__}; wanted a table of settings")
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(map(shown, set(values) - known))
    if unknown:
        raise ConfigError(f"{where} has an unknown key {unknown[0]}; known are {', '.join(sorted(known))}")
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except TypeError as error:
        raise ConfigError(f"{where} cannot be used: {one_line(error)}") from None
