"""``tools/listen``: the command line.

Knows: arguments, which folder may be replaced. Does not know: how anything is coded or shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from streamrvq import DEFAULT_CODEC, StreamRVQError, load

from ..ending import ended
from ..quality_measure import opus
from ..quality_measure.errors import QualityError
from ..quality_measure.options import numbers
from ..quality_measure.systems import systems
from .clips import licences_of, paths_of, read_clip
from .page import INDEX, MARK, About, begin_page, write_page
from .versions import write_versions

CODEBOOKS, OPUS_KBPS = (9, 4, 2), (12, 16)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0, 2 for an error, 130 for an interrupt."""
    try:
        page = _run(_parser().parse_args(arguments))
    except (QualityError, StreamRVQError, OSError) as error:
        print(f"tools/listen: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"to listen, open in a browser: {page.resolve()}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/listen",
        description="A page with clips to listen to: the original, a codec at several numbers of codebooks, and Opus. "
        "It needs no server and nothing from elsewhere.",
    )
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP", help="audio files (default: shipped clips)")
    parser.add_argument("--codec", default=DEFAULT_CODEC, help="a preset, a name or weights (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/listen"), help="the folder (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each clip at most (default: %(default)g)")
    parser.add_argument("--downmix", action="store_true", help="take the mean of several channels")
    parser.add_argument("--codebooks", help="numbers of codebooks (default: all and 9,4,2)")
    parser.add_argument("--opus", help="kbit/s, or none (default: 12,16)")
    return parser


def _run(arguments: argparse.Namespace) -> Path:
    if not arguments.seconds >= 1:
        raise QualityError(f"--seconds is {arguments.seconds}; wanted 1 or more")
    rates = numbers("--opus", arguments.opus, OPUS_KBPS)
    encoder = opus.encoder() if rates else None
    codec = load(arguments.codec, threads=1)
    wanted = systems(codec.n_codebooks, numbers("--codebooks", arguments.codebooks, CODEBOOKS), rates)
    wanted.sort(key=lambda system: system.kind == "opus" and system.amount)  # Opus 12 before 16; sorting is stable
    clips = [read_clip(path, arguments.seconds, arguments.downmix) for path in paths_of(arguments.clips)]
    audio = _empty_folder(arguments.out)
    made = []
    for number, clip in enumerate(clips, 1):
        print(f"{clip.title}: {clip.seconds:.1f} s", file=sys.stderr)
        made.append((clip, list(write_versions(clip, f"{number:02}", audio, wanted, codec))))
    about = About(codec.name, codec.codec_hash, codec.trained, arguments.codec == DEFAULT_CODEC, encoder)
    return write_page(arguments.out, made, licences_of(clips), about)


def _empty_folder(out: Path) -> Path:
    """``out/audio``, without the files of an older page. A folder with anything else in it is refused."""
    index = out / INDEX
    try:
        ours = index.is_file() and MARK in index.read_text("utf-8", errors="replace")
        if out.exists() and not ours and any(out.iterdir()):
            raise QualityError(f"{out} has files, and no page of this command; wanted a new or empty folder: name one")
        begin_page(out)
        audio = out / "audio"
        audio.mkdir(parents=True, exist_ok=True)
        for old in audio.glob("*.flac"):
            old.unlink()
    except OSError as error:
        raise QualityError(f"cannot write into {out} ({error.strerror}); wanted a folder: name another one") from None
    return audio


if __name__ == "__main__":
    ended(main)
