"""What `info` says of stored tokens: of a token file, of shards, of a folder of token files, of a bulk run.

Knows: names and units of the figures, and how tokens are told from weights by a look. Does not know: codecs, layouts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors

from ...corpus.sources import RECORDS
from ...system.foreign_data import one_line
from ...system.regular_file import check_regular
from ...tokens import FORMAT, Signal, TokenFile, open_tokens, read_tokens
from ...tokens.journal_names import JOURNAL, left_of_a_recording
from ...tokens.reader import shards_in, token_files_in
from .dac_files import facts_of, is_dac
from .runs import run_facts, run_lines

#: Signals that are named.
_NAMED = 4


class Described(NamedTuple):
    """What `info` prints: a heading, the figures for programs, and the lines for people."""

    head: str
    facts: dict[str, Any]
    lines: list[tuple[str, str]]


def described(place: str) -> Described | None:
    """What lies at a place, if it is stored tokens; None for anything else, such as weights or a preset's name.

    Raises:
        TokensError: the tokens cannot be read, or are still a journal.
    """
    if os.path.isdir(place):
        return _folder(place) if _is_folder_of_tokens(Path(place)) else None
    if place.endswith(".parquet"):
        return _signals(place, list(open_tokens(place)), [Path(place)])
    if is_dac(place) and os.path.lexists(place):
        return Described(*facts_of(place))
    if place.endswith(JOURNAL) or (not os.path.lexists(place) and left_of_a_recording(place)):
        read_tokens(place)  # which says how to recover it
    return _file(place, read_tokens(place)) if _is_token_file(place) else None


def is_stored(place: str) -> bool:
    """Whether stored tokens lie at a place, or a journal where they would lie. Anything else may be audio."""
    if os.path.isdir(place) or place.endswith((".parquet", JOURNAL)):
        return True
    return bool(left_of_a_recording(place)) if not os.path.lexists(place) else _is_token_file(place)


def _is_token_file(place: str) -> bool:
    try:
        check_regular(place)
        with safetensors.safe_open(place, framework="numpy") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (OSError, ValueError, safetensors.SafetensorError):
        return False


def _is_folder_of_tokens(folder: Path) -> bool:
    if (folder / RECORDS).is_dir() or shards_in(folder):
        return True
    if (folder / "config.json").exists():  # weights as Hugging Face lays them out
        return False
    return any(_is_token_file(str(path)) for path in token_files_in(folder))


def _file(place: str, file: TokenFile) -> Described:
    levels, frames = file.codes.shape
    facts: dict[str, Any] = {
        "kind": "tokens", "path": place, **_codec(file.codec, file.codec_hash), "trained": file.trained,
        "status": "trained" if file.trained else "untrained", "sample_rate": file.sample_rate,
        "hop_length": file.hop_length, "n_quantizers": levels, "frames": frames, "seconds": file.seconds,
        "num_samples": file.num_samples, "source_rate": file.source_rate, "tail": file.tail, "start": file.start,
        "gaps": [list(gap) for gap in file.gaps], "resampler": file.resampler, "version": file.version,
        "bytes": os.path.getsize(place),
    }  # fmt: skip
    lost = sum(samples for _, samples in file.gaps)
    lines = [
        ("codec", f"{file.codec}{'' if file.trained else ' (untrained: its codes are exact, but mean nothing)'}"),
        ("codec hash", file.codec_hash),
        ("length", f"{file.seconds:.3f} s, {file.num_samples} samples at {file.source_rate} Hz"),
        ("frames", f"{frames} of {levels} levels, {file.sample_rate / file.hop_length:.3f} a second"),
        ("last hop", "filled with zeros" if file.tail == "pad" else "left out"),
        ("size", f"{facts['bytes']} bytes"),
    ]
    if file.start:
        lines.append(("begins", f"at sample {file.start} of the recording, {file.start / file.source_rate:.3f} s"))
    if file.gaps:
        lines.append(("gaps", f"{len(file.gaps)}, {lost / file.source_rate:.3f} s of zeros in place of lost samples"))
    if file.resampler is not None:
        lines.append(("resampler", file.resampler))
    return Described(f"tokens of {place}", facts, lines)


def _folder(place: str) -> Described:
    folder = Path(place)
    shards = shards_in(folder)
    run = run_facts(folder) if (folder / RECORDS).is_dir() else None
    if run is not None and not shards:
        return Described(f"bulk run {place}", {"kind": "run", "path": place, "run": run}, run_lines(run))
    found = shards or token_files_in(folder)
    there = _signals(place, list(open_tokens(place, partial=True)), found)
    if run is None:
        return there
    facts = {**there.facts, "kind": "run", "run": run}
    return Described(f"bulk run {place}", facts, [*run_lines(run), *there.lines])


def _signals(place: str, signals: Sequence[Signal], files: Sequence[Path]) -> Described:
    named = [_name(signal) for signal in signals[:_NAMED]]
    codecs = {signal.codec_hash: signal.codec for signal in signals}
    size = sum(os.path.getsize(path) for path in files)
    rates = sorted({signal.source_rate for signal in signals})
    resamplers = sorted({signal.resampler for signal in signals if signal.resampler is not None})
    seconds, frames = sum(signal.seconds for signal in signals), sum(signal.frames for signal in signals)
    facts: dict[str, Any] = {
        "kind": "shards" if files and files[0].suffix == ".parquet" else "token files", "path": place,
        "files": len(files), "bytes": size, "signals": len(signals), "seconds": seconds, "frames": frames,
        "codecs": [_codec(name, codec_hash) for codec_hash, name in codecs.items()], "source_rates": rates,
        "resamplers": resamplers, "first_signals": named,
    }  # fmt: skip
    rate = f", {8 * size / seconds / 1000:.2f} kbit/s" if seconds else ""
    lines = [
        ("files", f"{len(files)}, {size} bytes{rate}"),
        ("signals", f"{len(signals)}, {seconds:.3f} s, {frames} frames"),
        ("source rates", ", ".join(f"{rate} Hz" for rate in rates)),
        *(("resampler", one_line(name)) for name in resamplers),
        *(("codec", f"{one_line(name)} ({one_line(codec_hash[:12])})") for codec_hash, name in codecs.items()),
        *(("--path", name) for name in named),
    ]
    if len(signals) > _NAMED:
        lines.append(("", f"and {len(signals) - _NAMED} more"))
    return Described(f"{facts['kind']} of {place}", facts, lines)


def _name(signal: Signal) -> str:
    return one_line(signal.path) if signal.channel < 0 else f"{one_line(signal.path)} --channel {signal.channel}"


def _codec(name: str, codec_hash: str) -> dict[str, str]:
    return {"codec": name, "codec_hash": codec_hash}
