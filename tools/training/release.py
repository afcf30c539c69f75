"""``tools/train_release``: trains the shipped weights further, and replaces them if the new ones are judged better.

In a run here the learning rate rises once and then falls slowly, in a time that fits the minutes. The first minute
measures how fast this machine trains. ``tools/quality --against`` decides what is better. The record beside the weights
gets an entry: what was trained, for how long and on what.

For a few minutes on a borrowed machine that can fetch nothing, it packs a set (packs.py), makes the folder that travels
(carry.py), and joins what came back (delivery.py). There borrowed.py runs. What more training is worth: curve.py.

Knows: the order of things. Does not know: training (``streamrvq train``), quality (``tools/quality``), the corpus
(``tools/corpus``); it runs them as commands. Where nothing can be installed, run
``python -m tools.training.release`` with any Python that has the package's dependencies, and --train-only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamrvq.config import DEFAULT_CODEC
from streamrvq.errors import StreamRVQError
from streamrvq.train import TrainConfig
from streamrvq.weights import load_weights, save_weights

from ..ending import ended, exit_code
from .arguments import amount, count
from .carry import CarryError, carry
from .curve import CurveError, lines
from .delivery import DeliveryError, join
from .record import BESIDE, device_name, entries, judged_by, log
from .schedule import ENDLESS

ROOT = Path(__file__).parents[2]
DATA = ROOT / "streamrvq/weights/data"
CONFIG = ROOT / f"streamrvq/train/configs/{DEFAULT_CODEC}.toml"
#: Of a pack by default. 64 MiB travel at a time: 32 MB of the repository, 23 of them the shipped weights; 2 MB of
#: wheels and the native engine; and a pack.
MEGABYTES = 30.0
_PROBE_MINUTES = 1.0
#: Probes until a step must have been logged: on any machine that can train, one of them is long enough.
_MOST_PROBES = 5
_LOG_EVERY = 10  #: steps between two rows of the log, in a probe
_FALL_FROM = 0.3  #: the share of a run after which the rate falls


class ReleaseError(Exception):
    """A run that cannot be planned, or a command of it that failed."""


def main() -> int:
    """Run the command line.

    Returns:
        0 if the weights were replaced (or only trained), 1 if they are not better, 2 if there is nothing to
        judge or something failed.
    """
    parser = argparse.ArgumentParser(prog="tools/train_release", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--minutes", type=amount, help="to train for")
    parser.add_argument(
        "--out", type=Path, default=Path("build/release"),
        help="the run's folder, or that of the packs (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, help="a set of tools/corpus (default: CACHE/corpus/set, made if need be)")
    parser.add_argument("--cache", type=Path, help="for decoded audio (default: OUT/cache)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--batch", type=count, help="clips a step, instead of the configuration's")
    parser.add_argument("--lr", type=float, help="highest rate, instead of the configuration's")
    parser.add_argument("--train-only", action="store_true", help="do not judge and land")
    parser.add_argument("--land", type=Path, metavar="RUN", help="only judge what RUN has exported, and land it")
    parser.add_argument(
        "--curve", action="store_const", const=True, help="what more training is worth, by the runs so far"
    )
    away = parser.add_argument_group("on a borrowed machine without a network")
    away.add_argument("--pack", type=Path, metavar="SET", help="write a set as packs to --out")
    away.add_argument("--megabytes", type=amount, default=MEGABYTES, help="of a pack, at most (default: %(default)g)")
    away.add_argument("--most", type=count, metavar="N", help="write only the first N packs")
    away.add_argument("--carry", type=Path, metavar="FOLDER", help="make the folder that travels, with --packs")
    away.add_argument("--packs", type=Path, nargs="+", default=[], metavar="PACK", help="that travel now")
    away.add_argument("--weights", type=Path, metavar="FILE", help="to begin with there, instead of the shipped ones")
    away.add_argument("--beside", action="store_true", help="a copy of the repository travels anyway: add to it")
    away.add_argument("--join", type=Path, metavar="FOLDER", help="make a run in --out of what came back")
    arguments = parser.parse_args()
    chosen = [
        name for name in ("minutes", "land", "curve", "pack", "carry", "join") if getattr(arguments, name) is not None
    ]
    if len(chosen) != 1:
        parser.error(
            "wanted --minutes N to train, --land RUN to judge a run that is done, --curve, --pack, --carry or --join"
        )
    try:
        return _run(arguments)
    except (ReleaseError, CarryError, DeliveryError, CurveError, StreamRVQError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    if arguments.curve:
        print("\n".join(lines(_record()["runs"])))
        return 0
    if arguments.pack is not None:
        return _pack(arguments)
    if arguments.carry is not None:
        print("\n".join(carry(arguments.carry, arguments.packs, arguments.weights, arguments.beside)))
        return 0
    if arguments.join is not None:
        weights = join(arguments.join, arguments.out)["step"]
        print(f"{arguments.out}: the run to step {weights}. Now: tools/train_release --land {arguments.out}")
        return 0
    if arguments.land is not None:
        return land(arguments.land, arguments.data)
    data = _corpus(arguments.data)
    train(arguments, data)
    return 0 if arguments.train_only else land(arguments.out, data)


def _pack(arguments: argparse.Namespace) -> int:
    from .packs import PackError, pack  # here, for it needs soundfile

    shares = TrainConfig.read(CONFIG).kinds
    try:
        made = pack(arguments.pack, arguments.out, arguments.megabytes, shares, arguments.most)
    except PackError as error:
        raise ReleaseError(str(error)) from None
    for path in made:
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


def train(arguments: argparse.Namespace, data: Path) -> None:
    """Train for ``--minutes``. Called again after an interrupt, it continues to the number of steps planned first.

    An interrupted probe has planned none: then the next call plans them.

    Raises:
        ReleaseError: the probes did not get to a logged step.
    """
    out: Path = arguments.out
    plan = out / "config.json"
    if not plan.is_file() or TrainConfig.read(plan).steps == ENDLESS:  # what a probe was given is no plan
        out.mkdir(parents=True, exist_ok=True)
        _write(out / BESIDE, {"device": device_name(arguments.device)})
        asked = {"batch": arguments.batch, "lr": arguments.lr}
        config = dataclasses.replace(
            TrainConfig.read(CONFIG), steps=ENDLESS, log_every=_LOG_EVERY, decay_from=_FALL_FROM,
            train=(str((data / "train").resolve()),), validation=(str((data / "validation").resolve()),),
            **{name: value for name, value in asked.items() if value is not None},
        )  # fmt: skip
        _write(plan, config.to_dict())
        rows: list[dict[str, Any]] = []
        for _ in range(_MOST_PROBES):  # a slow machine may need several tries for the first logged step
            _streamrvq(arguments, "--minutes", str(min(_PROBE_MINUTES, arguments.minutes)))
            if rows := [row for row in log(out) if row["event"] == "train"]:
                break
        else:
            events = [row["event"] for row in log(out)]
            raise ReleaseError(
                f"{_MOST_PROBES} probes of {min(_PROBE_MINUTES, arguments.minutes):g} min logged "
                f"{', '.join(events) or 'nothing'}; wanted the row of {_LOG_EVERY} training steps: choose a smaller "
                "--batch or a faster --device, and call it again with the same --out"
            )
        row = rows[-1]
        left = 60 * max(0.0, arguments.minutes - _PROBE_MINUTES) * row["speed"] / config.step_seconds
        # Steps after the last row count, too, and a run of no more steps would end without a validation.
        steps = max(row["step"] + round(left), max(row["step"] for row in log(out)) + 1)
        print(f"{row['speed']} s of audio a second here: {steps} steps in {arguments.minutes:g} minutes", flush=True)
        _write(plan, dataclasses.replace(config, steps=steps, log_every=50).to_dict())
    _streamrvq(arguments)


def _streamrvq(arguments: argparse.Namespace, *more: str) -> None:
    command = [sys.executable, "-c", "from streamrvq.cli import main; main()", "train", arguments.out / "config.json",
               "--out", arguments.out, "--device", arguments.device, *more]  # fmt: skip
    if arguments.cache is not None:
        command += ["--cache", arguments.cache]
    if (DATA / f"{DEFAULT_CODEC}.safetensors").is_file():
        command += ["--from", DEFAULT_CODEC]
    _run_to_its_end("streamrvq train", command)


def _run_to_its_end(name: str, command: Sequence[object]) -> None:
    code = exit_code(command)
    if code:
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        raise ReleaseError(
            f"{name} ended {how}; wanted 0. What it said is above: see to that, then run the same command again"
        )


def land(run: Path, data: Path | None) -> int:
    """Judge the export of ``run``. If it is better, or no trained weights are shipped yet, ship it and its record."""
    new, shipped = run / f"{DEFAULT_CODEC}.safetensors", DATA / f"{DEFAULT_CODEC}.safetensors"
    if not new.is_file():
        print(
            f"{run} has no {new.name}; wanted a run that has come to its end (streamrvq train --export)",
            file=sys.stderr,
        )
        return 2
    found = run / "quality"
    command = [ROOT / "tools/quality", new, "--out", found, *(["--data", data] if data is not None else [])]
    if shipped.is_file():
        command += ["--against", shipped]
    judged = exit_code(command)
    if judged:
        print(f"{new} was not landed", file=sys.stderr)
        return judged
    record = _record()
    there = {entry["codec_hash"] for entry in record["runs"]}
    *before, mine = entries(run, new)
    made = [*before, judged_by(found / "quality.json", mine)]
    record["runs"] += [entry for entry in made if entry["codec_hash"] not in there]
    DATA.mkdir(exist_ok=True)
    # What ships has the preset's name, whatever the run was called. The hash is of the numbers alone.
    save_weights(dataclasses.replace(load_weights(new), name=DEFAULT_CODEC), shipped, half=True)
    _write(DATA / f"{DEFAULT_CODEC}.json", record)
    print(f"landed: {shipped}, and what it was trained on in {shipped.with_suffix('.json')}")
    return 0


def _record() -> dict[str, Any]:
    """The record: every run that led to the shipped weights, the oldest first."""
    path = DATA / f"{DEFAULT_CODEC}.json"
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"runs": []}
    return record


def _corpus(data: Path | None) -> Path:
    """The folder of the set. The default one is made if it does not exist."""
    from ..corpus_build.debian import default_cache

    if data is None:
        data = default_cache() / "set"
        if not (data / "train").is_dir():
            _run_to_its_end("tools/corpus", [ROOT / "tools/corpus"])
    return data


def _write(path: Path, values: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    ended(main)
