"""EnCodec and Mimi beside the packages that they come from: are the codes the same?

    python -m tools.own_packages [--package encodec|moshi|rustymimi]

Random spread weights in two files: one with the package's names, which the package reads, and transformers' folder,
which ours reads. One thread. A float64 run judges near-ties. Two rows are of the released sizes, and one is of every
length from 1 to three hops and 3 samples, with few channels. rustymimi, which gives codes alone, is compared where it
is installed: ``PYTHONPATH=.venv/peers``, after tools/peers.

Knows: which signals are compared, and how a finding is printed. Does not know: how it is found
(tests/families/own_packages.py).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamrvq.codec import load

from .ending import ended
from .modules_of_tests import of_tests
from .peer_families.models import MissingPeerError, imported

COLUMNS = (
    "", "", "frames", "codes that differ", "their frames that are near-ties", "latents within", "samples within",
    "entries used",
)  # fmt: skip
HEAD = f"| {' | '.join(COLUMNS)} |\n{'| --- ' * len(COLUMNS)}|"
SECONDS = {"encodec": 12, "mimi": 20}
HOPS = {"encodec": 320, "mimi": 1920}
FAMILIES = {"encodec": "encodec", "moshi": "mimi", "rustymimi": "mimi"}


def row(name: str, what: str, found: Sequence[Any], levels: int, entries: bool = True) -> str:
    """Several findings of one comparison in Markdown."""
    latents, samples = max(one.latents for one in found), max(one.samples for one in found)
    used = str(min(one.entries for one in found)) if entries else "–"
    counted = _counted([one.codes for one in found], levels)
    return f"| {name} | {what} | {counted} | {latents:.0e} | {samples:.0e} | {used} |"


def _counted(codes: Sequence[Any], levels: int) -> str:
    frames, differ = sum(one.frames for one in codes), sum(one.differing_codes for one in codes)
    ties, apart = sum(one.near_ties for one in codes), sum(one.differing_frames for one in codes)
    return f"{frames} | {differ} of {frames * levels} | {ties} of {apart}"


def package(name: str) -> Iterable[str]:
    """The rows of ``encodec`` or ``moshi``."""
    apart, package_of = (getattr(of_tests("families.own_packages"), what) for what in ("apart", "package_of"))
    pair, music = of_tests("families.pairs").pair, of_tests("reference.spread").music
    family = FAMILIES[name]
    hop, seconds = HOPS[family], SECONDS[family]
    narrow, lengths = pair(family), range(1, 3 * hop + 4)
    theirs = package_of(narrow)
    found = [apart(theirs, narrow.single, narrow.double, music(n, seed=n), family) for n in lengths]
    wrong = [n for n, one in zip(lengths, found, strict=True) if one.codes.frames != -(-n // hop)]
    if wrong:
        raise AssertionError(f"{len(wrong)} lengths have other frames than hops, the first {wrong[0]}")
    yield row(name, f"float32, {len(lengths)} lengths", found, narrow.single.n_codebooks, entries=False)
    both, pcm = pair(family, "full"), music(24000 * seconds + 7, seed=5)
    theirs = package_of(both)
    for dtype, ours in (("float32", both.single), ("float64", both.double)):
        one = apart(theirs.double() if dtype == "float64" else theirs, ours, both.double, pcm, family)
        yield row(name, f"{dtype}, {seconds} s", [one], ours.n_codebooks)


def rust() -> Iterable[str]:
    """The rows of Mimi in Rust: as transformers has it, and with a transformer that sees one position more."""
    os.environ["RAYON_NUM_THREADS"] = "1"  # read when it is imported
    try:
        tokenizer = imported("rustymimi").Tokenizer
    except MissingPeerError as error:
        yield f"| rustymimi | {error} | | | | | | |"
        return
    both, music = of_tests("families.pairs").pair("mimi", "full"), of_tests("reference.spread").music
    of_tests("families.own_packages").package_of(both)
    theirs = tokenizer(str(both.folder / "package.safetensors"), num_codebooks=32)
    short = [music(n, seed=n) for n in (1, 7, 960, 1919, 1920, 1921, 3000, 5003)]
    whole = [music(24000 * SECONDS["mimi"] + 7, seed=5)]
    yield _rust(f"float32, {len(short)} lengths", theirs, short, both.single, both.double)
    yield _rust("float32, 20 s", theirs, whole, both.single, both.double)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(both.folder, folder, dirs_exist_ok=True)
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"sliding_window": 251}))
        wider = load(folder, threads=1), load(folder, engine="torch", dtype="float64")
        yield _rust("float32, 20 s, ours with 251 positions", theirs, whole, *wider)


def _rust(what: str, theirs: Any, signals: Sequence[Any], ours: Any, judge: Any) -> str:
    """One row; ours with the tail that is like it."""
    compare, distance = of_tests("families.own_packages").compare, of_tests("families.own_packages").Distance.EUCLIDEAN
    found = []
    for signal in signals:
        theirs.reset()
        wanted = theirs.encode(signal[None, None])[0].astype(np.int64)
        codes = ours.encode(signal, tail="valid")
        latents = None
        if (codes != wanted).any():
            latents = judge.encode(signal, tail="valid", return_latents=True)[1]
            first = int(np.flatnonzero((codes != wanted).any(axis=0))[0])
            what += f", the first difference at frame {first}"
        found.append(compare(codes, wanted, latents, judge.codebooks, distance))
    return f"| rustymimi | {what} | {_counted(found, len(judge.codebooks))} | – | – | – |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.own_packages", description=__doc__.splitlines()[0])
    parser.add_argument("--package", choices=FAMILIES, action="append", help="one of them (default: all)")
    import torch

    torch.set_num_threads(1)
    print(HEAD)
    for name in parser.parse_args(arguments).package or FAMILIES:
        for line in rust() if name == "rustymimi" else package(name):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    ended(main)
