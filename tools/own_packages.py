"""EnCodec and Mimi beside the packages that they come from, ``encodec`` and ``moshi``: are the codes the same?

    python -m tools.own_packages [--family encodec|mimi]

Random spread weights in two files: one with the package's names, which the package reads, and transformers' folder,
which ours reads. One thread. A float64 run judges near-ties. Two rows are of the released sizes, and one is of every
length from 1 to three hops and 3 samples, with few channels. Mimi in Rust has two rows where rustymimi is installed:
``PYTHONPATH=.venv/peers``, after tools/peers.

Knows: which signals are compared, and how a finding is printed. Does not know: how it is found
(tests/families/own_packages.py).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .peer_families.models import MissingPeerError, imported, of_tests

HEAD = (
    "| | | frames | codes that differ | near-ties | latents within | samples within | entries used |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)
SECONDS = {"encodec": 12, "mimi": 20}
HOPS = {"encodec": 320, "mimi": 1920}
PACKAGES = {"encodec": "encodec", "mimi": "moshi"}


def row(name: str, what: str, found: Sequence[Any], levels: int, entries: bool = True) -> str:
    """Several findings of one comparison in Markdown."""
    frames = sum(one.codes.frames for one in found)
    differ = sum(one.codes.differing_codes for one in found)
    ties = sum(one.codes.near_ties for one in found)
    latents, samples = max(one.latents for one in found), max(one.samples for one in found)
    used = str(min(one.entries for one in found)) if entries else "–"
    counted = f"{frames} | {differ} of {frames * levels} | {ties}"
    return f"| {name} | {what} | {counted} | {latents:.0e} | {samples:.0e} | {used} |"


def family(name: str) -> Iterable[str]:
    """The rows of a family."""
    apart, package_of = (getattr(of_tests("families.own_packages"), what) for what in ("apart", "package_of"))
    pair, music = of_tests("families.pairs").pair, of_tests("reference.spread").music
    hop = HOPS[name]
    narrow, lengths = pair(name), range(1, 3 * hop + 4)
    theirs = package_of(narrow)
    found = [apart(theirs, narrow.single, narrow.double, music(n, seed=n), name) for n in lengths]
    wrong = [n for n, one in zip(lengths, found, strict=True) if one.codes.frames != -(-n // hop)]
    if wrong:
        raise AssertionError(f"{len(wrong)} lengths have other frames than hops, the first {wrong[0]}")
    yield row(PACKAGES[name], f"float32, {len(lengths)} lengths", found, narrow.single.n_codebooks, entries=False)
    both, pcm = pair(name, "full"), music(24000 * SECONDS[name] + 7, seed=5)
    theirs = package_of(both)
    for dtype, ours in (("float32", both.single), ("float64", both.double)):
        one = apart(theirs.double() if dtype == "float64" else theirs, ours, both.double, pcm, name)
        yield row(PACKAGES[name], f"{dtype}, {SECONDS[name]} s", [one], ours.n_codebooks)
    if name == "mimi":
        yield from rust(both, pcm, [music(n, seed=n) for n in (1, 7, 960, 1919, 1920, 1921, 3000, 5003)])


def rust(both: Any, pcm: Any, short: list[Any]) -> Iterable[str]:
    """The rows of Mimi in Rust: codes alone, for it gives nothing else. The tail is the one that is like it."""
    compare, distance = of_tests("families.own_packages").compare, of_tests("families.own_packages").Distance.EUCLIDEAN
    os.environ["RAYON_NUM_THREADS"] = "1"  # read when it is imported
    try:
        rust = imported("rustymimi").Tokenizer(str(both.folder / "package.safetensors"), num_codebooks=32)
    except MissingPeerError as error:
        yield f"| rustymimi | {error} | | | | | | |"
        return
    for what, signals in ((f"float32, {len(short)} lengths", short), ("float32, 20 s", [pcm])):
        frames = differ = ties = 0
        firsts = []
        for signal in signals:
            rust.reset()
            codes = rust.encode(signal[None, None])[0].astype(np.int64)
            ours = both.single.encode(signal, tail="valid")
            latents = both.double.encode(signal, tail="valid", return_latents=True)[1]
            found = compare(ours, codes, latents, both.double.codebooks, distance)
            frames, differ = frames + found.frames, differ + found.differing_codes
            ties += found.near_ties
            firsts += list(np.flatnonzero((ours != codes).any(axis=0)))
        first = f", the first at frames {', '.join(map(str, firsts[:3]))}" if firsts else ""
        yield f"| rustymimi | {what} | {frames} | {differ} of {frames * 32}{first} | {ties} | – | – | – |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.own_packages", description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=["encodec", "mimi"], action="append", help="one of them (default: both)")
    import torch

    torch.set_num_threads(1)
    print(HEAD)
    for name in parser.parse_args(arguments).family or ["encodec", "mimi"]:
        for line in family(name):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
