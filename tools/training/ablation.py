"""``tools/ablate``: short runs of variants of the default codec's configuration, from the same seed on the same crops.

Since the crops are the same, figures of variants at the same step can be compared. The speed depends on what else the
machine does.

Knows: the variants, each with one change of the packaged configuration, and the table. Does not know: how a run
works.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from streamrvq.errors import ConfigError, StreamRVQError
from streamrvq.families import decoder_plan, encoder_plan, tensor_shapes
from streamrvq.train import TrainConfig
from streamrvq.train.run import Run
from streamrvq.train.runs.rows import read_rows

from ..ending import ended
from .arguments import count

CONFIG = Path(__file__).parents[2] / "streamrvq/train/configs/causal-44khz.toml"


def _shape(stem: int, rates: tuple[int, ...], encoder: int, decoder: int) -> Callable[[TrainConfig], TrainConfig]:
    def change(config: TrainConfig) -> TrainConfig:
        codec = dataclasses.replace(config.codec, stem=stem, encoder_rates=rates, decoder_rates=rates[::-1],
                                    encoder_dim=encoder, decoder_dim=decoder)  # fmt: skip
        return dataclasses.replace(config, codec=codec)

    return change


def _loss(**weights: float) -> Callable[[TrainConfig], TrainConfig]:
    return lambda config: dataclasses.replace(config, loss=dataclasses.replace(config.loss, **weights))


#: The change that each variant makes, by its name.
VARIANTS: dict[str, Callable[[TrainConfig], TrainConfig]] = {
    "as shipped": lambda config: config,
    "decoder 512": _shape(32, (4, 4), 128, 512),
    "stem 16, 4·4·2": _shape(16, (4, 4, 2), 64, 512),
    "stem 8, 4·4·4": _shape(8, (4, 4, 4), 64, 512),
    "no stem, 2·4·8·8": _shape(1, (2, 4, 8, 8), 16, 256),
    "pole 0": lambda config: dataclasses.replace(config, pole=0.0),
    "mel loss alone": _loss(compressed=0.0),
    "with stft loss": _loss(stft=1.0),
}

_COLUMNS = ("variant", "parameters", "GFLOP/s enc", "dec", "audio-s/s", "mel", "STFT", "SI-SDR dB", "ESTOI", "used")


class _Validations:
    """A `run.RunObserver` that prints the validations only."""

    def __init__(self, name: str, console: Console) -> None:
        self._name, self._console = name, console

    def decoded(self, name: str, seconds: float) -> None: ...

    def remarked(self, text: str) -> None: ...

    def making(self, what: str, frames: int, share: float) -> None: ...

    def stepped(self, step: int, audio_seconds: float, speed: float, figures: dict[str, Any]) -> None: ...

    def validated(self, step: int, figures: dict[str, Any]) -> None:
        self._console.print(f"{self._name}, step {step}: mel {figures['mel']:.3f}, SI-SDR {figures['si_sdr']:.2f} dB")


def run(name: str, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Train a variant, or resume its run, and return its row of the table."""
    config = dataclasses.replace(
        VARIANTS[name](TrainConfig.read(CONFIG)), train=(str(arguments.data),), validation=(str(arguments.validation),),
        steps=arguments.steps, validate_every=arguments.steps, checkpoint_every=arguments.steps, decay_from=1.0,
    )  # fmt: skip
    folder = arguments.out / "".join(c if c.isalnum() else "-" for c in name)
    cache = arguments.cache or arguments.out / "cache"
    with Run(config, folder, _Validations(name, console), cache=cache, device=arguments.device) as done:
        done.go()
    if (step := done.trainer.step) > arguments.steps:
        raise ConfigError(
            f"{folder} holds a run of {step} steps; wanted at most {arguments.steps}: raise --steps, or change --out"
        )
    last = next(row for row in reversed(read_rows(folder / "log.jsonl")) if row["event"] == "validation")
    codec = config.codec
    gflop = [2 * plan(codec).macs * codec.sample_rate / codec.hop_length / 1e9 for plan in (encoder_plan, decoder_plan)]
    return {
        "variant": name,
        "parameters": sum(math.prod(shape) for shape in tensor_shapes(codec).values()),
        "encoder_gflop": round(gflop[0], 2), "decoder_gflop": round(gflop[1], 2),
        "speed": round(done.audio_seconds / done.train_time, 2), "audio_seconds": round(done.audio_seconds),
        **{key: last[key] for key in ("mel", "stft", "si_sdr", "estoi")},
        "used": min(last["used"]),
    }  # fmt: skip


def _figure(value: float | None, digits: int) -> str:
    """A figure of the log, in which null is none."""
    return "none" if value is None else f"{value:.{digits}f}"


def main() -> int:
    """Run the command line. Returns the exit code: 0, 2 for an error, 130 for an interrupt."""
    parser = argparse.ArgumentParser(prog="tools/ablate", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=f"of {', '.join(VARIANTS)}; default: all")
    parser.add_argument("--data", required=True, type=Path, help="folder or manifest to train on")
    parser.add_argument("--validation", required=True, type=Path, help="the same, held out")
    parser.add_argument("--out", required=True, type=Path, help="folder of the runs")
    parser.add_argument("--cache", type=Path, help="for decoded audio (default: OUT/cache)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--steps", type=count, default=300, help="of each run (default: %(default)s)")
    arguments = parser.parse_args()
    for name in arguments.variants:
        if name not in VARIANTS:
            parser.error(f"{name!r} is not a variant; wanted one of {', '.join(VARIANTS)}")
    try:
        _compare(arguments)
    except (StreamRVQError, OSError) as error:
        print(f"tools/ablate: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _compare(arguments: argparse.Namespace) -> None:
    """Run the variants, and print the table."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    rows = [run(name, arguments, console) for name in arguments.variants or VARIANTS]
    (arguments.out / "ablation.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    table = Table(title=f"{arguments.steps} steps, {rows[0]['audio_seconds']} s of audio, one seed, validation")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "variant" else "right")
    for row in rows:
        table.add_row(row["variant"], f"{row['parameters'] / 1e6:.1f} M", f"{row['encoder_gflop']}",
                      f"{row['decoder_gflop']}", f"{row['speed']}", _figure(row["mel"], 2), _figure(row["stft"], 2),
                      _figure(row["si_sdr"], 1), _figure(row["estoi"], 2), f"{100 * row['used']:.0f} %")  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    ended(main)
