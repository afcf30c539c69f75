"""On a borrowed machine: unpack what was carried, train for the minutes that are left, and hand out the results.

    python3 -m tools.training.borrowed --packs carried --minutes 9 --keep /tmp/keep --out "$OUT"

The minutes count from the start of the command. Nothing is fetched, and nothing needs to be installed but torch, numpy,
safetensors, rich and typer. ``--keep`` holds what the next call goes on with, if the machine is still the same one: the
modules, the decoded packs, the runs. More packs begin another run there, from the weights of the last.

``--out`` holds at any moment a whole result (delivery.py): ``tools/train_release --join`` makes a run of it at home.

Knows: the order of things, and the clock. Does not know: training (``streamrvq train``, which it runs), how results
lie.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamrvq.config import DEFAULT_CODEC
from streamrvq.errors import StreamRVQError
from streamrvq.train import TrainConfig

from .arguments import amount, count
from .delivery import PART_BYTES, deliver, newest
from .record import BESIDE, EARLIER, device_name, entries, log
from .schedule import ENDLESS, changed, next_phase, speed_of, speed_to_plan_with
from .unpacking import CarriedError, Pack, carried, install, unpack

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / f"streamrvq/train/configs/{DEFAULT_CODEC}.toml"
_PACKS = "packs.json"  #: in a run's folder: the packs that it is trained on, and the settings
_FROM, _DEVICE = "from", "device"  #: the weights that it began with, and where it was last trained
_RESERVE = 40.0  #: seconds for the last validation, the measured export and the last delivery
_EVERY = 30.0  #: seconds between two deliveries
_LOOK_EVERY = 2.0  #: seconds between two looks at a run's speed


class Borrowed:
    """A call on the machine."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._started = time.monotonic()
        self._asked = arguments
        self._keep: Path = arguments.keep.resolve()
        self._stopped = False
        self._delivered: tuple[Path, int] | None = None
        self._last = 0.0
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, number: int, frame: Any) -> None:
        self._stopped = True

    @property
    def _left(self) -> float:
        """Seconds to train in."""
        return 60 * float(self._asked.minutes) - float(self._asked.reserve) - (time.monotonic() - self._started)

    def run(self) -> int:
        """Do all of it. Returns 0 if there is a result, 1 if there is none."""
        asked = self._asked
        self._keep.mkdir(parents=True, exist_ok=True)
        site = install(carried(asked.packs, ".whl"), self._keep)
        config = changed(TrainConfig.read(asked.config), self._settings())
        packs = unpack(carried(asked.packs, ".tar"), self._keep, config.codec.sample_rate)
        run = self._open(config, packs)
        minutes = sum(sum(pack.minutes.values()) for pack in packs)
        self._say(f"{run}: {len(packs)} packs, {minutes:.1f} minutes to train on")
        self._deliver(run)
        speed, keep_rate = asked.speed or self._known_speed(run), asked.keep_rate
        while self._left > 0 and not self._stopped:
            phase = next_phase(TrainConfig.read(run / "base.json"), log(run), speed, self._left, keep_rate)
            self._say(phase.name + ("" if speed is None else f", at {speed:.2f} steps a second"))
            _write(run / "config.json", phase.config.to_dict())
            planned = None if phase.config.steps == ENDLESS else speed
            measured = self._train(run, site, phase.seconds, planned)
            self._delivered = None  # its last validation came after its last checkpoint
            if measured is not None:
                self._say(f"{measured:.2f} steps a second, where {speed:.2f} were planned: planned again")
                speed = measured
                continue
            if phase.config.steps != ENDLESS or keep_rate:
                break
            speed = speed_of(log(run))
            keep_rate = speed is None  # a machine this slow comes to no end that could be planned
        self._deliver(run)
        step = newest(self._weights(run))
        self._say(f"{asked.out} has the weights of step {step}" if step is not None else "there is no result")
        return int(step is None)

    def _settings(self) -> dict[str, Any]:
        asked = self._asked
        # Codebooks that are made again are lost to a short run: it ends before the decoder has got used to them.
        values: dict[str, Any] = {"codebooks_again": [], "log_every": 10}
        if asked.device == "cuda":  # reading figures makes a GPU wait, and so do small parts of a batch
            values |= {"log_every": 50, "shards": 1, "validate_every": 2000}
        if asked.adversarial is not None:
            values["adversarial_from"] = asked.adversarial
        for text in asked.set:
            name, mark, value = text.partition("=")
            if not mark:
                raise CarriedError(f"--set {text}; wanted NAME=VALUE, as batch=64")
            try:
                values[name] = json.loads(value)
            except ValueError:
                values[name] = value
        return values

    def _open(self, config: TrainConfig, packs: Sequence[Pack]) -> Path:
        """The folder of the run on these packs: the last one, if it is on the same, or a new one."""
        runs = self._keep / "runs"
        runs.mkdir(exist_ok=True)
        numbers = sorted(int(path.name) for path in runs.iterdir() if (path / _PACKS).is_file())
        names = [pack.digest for pack in packs]
        last = runs / str(numbers[-1]) if numbers else None
        if last is not None and json.loads((last / _PACKS).read_text(encoding="utf-8")) == names:
            run = last
        else:
            run = runs / str(1 + max(numbers, default=0))
            shutil.rmtree(run, ignore_errors=True)
            run.mkdir()
            source, earlier = self._source(last)
            if last is not None and newest(self._weights(last)) is not None:  # the result until there is a newer one
                deliver(last, self._weights(last).name, self._asked.out, self._asked.part_bytes)
            _write(run / EARLIER, earlier)
            (run / _FROM).write_text(source, encoding="utf-8")
            _write(run / _PACKS, names)
        held = [str(pack.folder / "validation") for pack in packs if pack.has_validation]
        trained = [str(pack.folder / "train") for pack in packs if pack.clips]
        _write(run / "base.json", changed(config, {"train": trained, "validation": held}).to_dict())
        minutes: dict[str, float] = {}
        for pack in packs:
            for kind, share in pack.minutes.items():
                minutes[kind] = round(minutes.get(kind, 0.0) + share, 2)
        before = json.loads((run / BESIDE).read_text(encoding="utf-8")) if (run / BESIDE).is_file() else {}
        self._before = float(before.get("machine_minutes", 0.0))
        self._beside = {
            "device": device_name(self._asked.device), "batch": config.batch, "adversarial": config.adversarial_from,
            "data": {"packs": [pack.number for pack in packs], "clips": sum(pack.clips for pack in packs),
                     "minutes": minutes},
        }  # fmt: skip
        return run

    def _source(self, last: Path | None) -> tuple[str, list[dict[str, Any]]]:
        """The weights that a new run begins with, and the entries of the record that led to them here."""
        if last is not None and newest(self._weights(last)) is not None:
            return str(self._weights(last)), entries(last, self._weights(last))
        if self._asked.source is None:
            return DEFAULT_CODEC, []
        beside = self._asked.source.parent / EARLIER
        earlier = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else []
        return str(self._asked.source.resolve()), earlier

    def _weights(self, run: Path) -> Path:
        name: str = json.loads((run / "base.json").read_text(encoding="utf-8"))["name"]
        return run / f"{name}.safetensors"

    def _known_speed(self, run: Path) -> float | None:
        """Steps a second of this run, or of the one before if only the data differs."""
        now = json.loads((run / "base.json").read_text(encoding="utf-8"))
        for path in (run, run.parent / str(int(run.name) - 1)):
            if (path / _DEVICE).is_file() and (path / _DEVICE).read_text(encoding="utf-8") == self._asked.device:
                was = json.loads((path / "base.json").read_text(encoding="utf-8"))
                same = all(was[name] == now[name] for name in now if name not in ("train", "validation"))
                if same and (speed := speed_of(log(path))) is not None:
                    return speed
        return None

    def _train(self, run: Path, site: Path, seconds: float, planned: float | None) -> float | None:
        """Train for at most ``seconds``, and deliver meanwhile.

        Args:
            planned: steps a second, if the end of the run was planned with them.

        Returns:
            the speed, if it is so different that the run was stopped to be planned again.

        Raises:
            CarriedError: the trainer failed.
        """
        paths = [str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        command = [
            sys.executable, "-m", "streamrvq", "train", run / "config.json", "--out", run, "--device",
            self._asked.device, "--minutes", f"{seconds / 60:.3f}", "--cache", self._keep / "cache", "--from",
            (run / _FROM).read_text(encoding="utf-8"),
        ]  # fmt: skip
        (run / _DEVICE).write_text(self._asked.device, encoding="utf-8")
        trainer = subprocess.Popen(
            [str(part) for part in command], env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, cwd=ROOT
        )
        try:
            ended, measured = self._attend(trainer, run, planned)
        finally:
            _end(trainer, self._asked.reserve)
        if trainer.returncode and ended is None:
            self._deliver(run)
            raise CarriedError(f"streamrvq train ended with code {trainer.returncode}; its message stands above")
        return measured

    def _attend(
        self, trainer: subprocess.Popen[bytes], run: Path, planned: float | None
    ) -> tuple[float | None, float | None]:
        """Deliver until the trainer has ended. Returns when it was asked to, if it was, and the speed as `_train`."""
        ended = measured = None
        before, looked = len(log(run)), time.monotonic()
        while trainer.poll() is None:
            time.sleep(0.2)
            now = time.monotonic()
            if ended is None and now - looked > _LOOK_EVERY:
                looked = now
                measured = speed_to_plan_with(planned, log(run)[before:], self._left)
                if measured is not None:
                    trainer.terminate()
                    ended = now
            if ended is None and (self._stopped or self._left <= 0):  # its own minutes began later
                trainer.terminate()
                ended = now
            elif ended is not None and now - ended > self._asked.reserve:
                trainer.kill()
            if now - self._last > self._asked.every:
                self._deliver(run)
        return ended, measured

    def _deliver(self, run: Path) -> None:
        step = newest(self._weights(run))
        if step is None or (run, step) == self._delivered:
            return
        minutes = {"machine_minutes": round(self._before + self.seconds / 60, 2)}
        _write(run / BESIDE, self._beside | minutes)
        step = deliver(run, self._weights(run).name, self._asked.out, self._asked.part_bytes)
        self._delivered, self._last = (run, step), time.monotonic()
        self._say(f"delivered step {step}")

    def _say(self, text: str) -> None:
        print(f"[{self.seconds:5.0f} s] {text}", flush=True)

    @property
    def seconds(self) -> float:
        """Since the start of the command."""
        return time.monotonic() - self._started


def _end(trainer: subprocess.Popen[bytes], seconds: float) -> None:
    """Let it save what it has within ``seconds``, if it still runs."""
    if trainer.poll() is None:
        trainer.terminate()
        try:
            trainer.wait(seconds)
        except subprocess.TimeoutExpired:
            trainer.kill()
            trainer.wait()


def _write(path: Path, values: Any) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def main() -> int:
    """Run the command line. Returns 0 with a result, 1 without one, 2 for what is of no use, 130 for an interrupt."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.training.borrowed", description=str(__doc__).split("\n")[0])
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="packs and wheels, or folders of them")
    parser.add_argument("--minutes", type=amount, required=True, help="for all of it, from the start of the command")
    parser.add_argument("--keep", type=Path, required=True, help="folder for what the next call goes on with")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--device", default="cuda", help="cuda or cpu (default: %(default)s)")
    parser.add_argument("--config", type=Path, default=CONFIG, help="settings (default: those of the default codec)")
    parser.add_argument("--from", dest="source", type=Path, help="weights to begin with (default: the shipped ones)")
    parser.add_argument(
        "--adversarial", type=int, nargs="?", const=0, metavar="STEP", help="with discriminators, from STEP on"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting; repeatable")
    parser.add_argument("--keep-rate", action="store_true", help="another call goes on: the rate does not fall")
    parser.add_argument("--speed", type=amount, help="steps a second, if known: then the rate falls at once")
    parser.add_argument(
        "--reserve", type=amount, default=_RESERVE, help="seconds after training (default: %(default)g)"
    )
    parser.add_argument("--every", type=amount, default=_EVERY, help="seconds between results (default: %(default)g)")
    parser.add_argument("--part-bytes", type=count, default=PART_BYTES, help="of a file in OUT (default: %(default)s)")
    try:
        return Borrowed(parser.parse_args()).run()
    except (CarriedError, StreamRVQError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
