"""``tools/corpus``: the command line.

--unpack needs only numpy, soundfile and soxr, and no network. Where tools/corpus cannot make its environment, run
``python -m tools.corpus_build`` in the repository's root, with any Python that has these three.

Knows: arguments, and where packages are kept. Does not know: how a set is made.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import soundfile

from ..ending import ended
from . import made, speech
from .build import Package, build
from .debian import default_cache, packages_of
from .debian_more import RENDERED
from .debian_set import ROOMS, SOURCES
from .english import WORDS
from .errors import CorpusError
from .manifest import read_manifest, table, totals
from .pack import KBPS, LIMIT_MB, pack, unpack
from .sources import KINDS, Source


def main() -> int:
    """Run the command line. Returns the exit code: 0, 2 for an error, 130 for an interrupt."""
    arguments = _parser().parse_args()
    try:
        _run(arguments)
    except CorpusError as error:
        print(f"tools/corpus: error: {error}", file=sys.stderr)
        return 2
    except (OSError, soundfile.SoundFileError) as error:
        print(
            f"tools/corpus: error: a file cannot be read or written ({error}); wanted room and leave to do so: see to "
            "that, then run this again",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/corpus",
        description="Make the training and validation audio from Debian 12's packages (6.3 GB to download, 4.5 GB "
        "unpacked and rendered), a speech synthesiser and your own folders: mono 44.1 kHz FLAC clips (3 GB) and a "
        "manifest, the same bytes on every run.",
    )
    parser.add_argument("out", type=Path, nargs="?", help="the set's folder (default: CACHE/set)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="packages (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the minutes for training; 1.0 is 22 hours")
    parser.add_argument(
        "--folder", nargs=3, action="append", default=[], metavar=("DIR", "KIND", "LICENCE"),
        help=f"train on your own files too: KIND is one of {', '.join(KINDS)}; LICENCE a free one, such as CC0-1.0",
    )  # fmt: skip
    parser.add_argument("--no-debian", action="store_true", help="only the folders; nothing is downloaded")
    parser.add_argument(
        "--speech",
        type=float,
        metavar="HOURS",
        default=speech.DEFAULT_HOURS,
        help="of connected speech to synthesise, which takes 40 minutes of a core an hour, can be interrupted and is "
        "kept; 0: none, and none for validation (default: %(default)s)",
    )
    parser.add_argument("--speech-from", type=Path, metavar="FOLDER", help="all speech of CACHE/speech made elsewhere")
    parser.add_argument("--words", action="store_true", help="English to be recognised instead (default: CACHE/words)")
    parser.add_argument("--pack", type=Path, metavar="FILE", help="pack the set (made before) into one file")
    parser.add_argument("--unpack", type=Path, metavar="FILE", help="make the set from a packed file; no network")
    parser.add_argument("--limit-mb", type=float, default=LIMIT_MB, help="of --pack (default: %(default)s)")
    parser.add_argument("--kbps", type=int, default=KBPS, help="of --pack: 6 to 256 (default: %(default)s)")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    out: Path = (arguments.out or arguments.cache / ("words" if arguments.words else "set")).resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    if arguments.pack and arguments.unpack:
        raise CorpusError("--pack and --unpack were both given; wanted one of them")
    if not 6 <= arguments.kbps <= 256 or not 0 < arguments.scale < math.inf:
        raise CorpusError(f"--kbps is {arguments.kbps}, --scale {arguments.scale}; wanted 6 to 256, and more than 0")
    if not arguments.limit_mb > 0:
        raise CorpusError(f"--limit-mb is {arguments.limit_mb}; wanted more than 0")
    if not 0 <= arguments.speech <= 1000:
        raise CorpusError(f"--speech is {arguments.speech}; wanted 0 to 1000 hours")
    if arguments.unpack:
        rows = unpack(arguments.unpack, out)
    elif arguments.pack:
        rows, had = pack(out, arguments.pack, arguments.limit_mb, arguments.kbps), len(read_manifest(out))
        print(f"{arguments.pack}: {arguments.pack.stat().st_size / 1e6:.1f} MB, {len(rows)} of {had} clips")
    elif arguments.words:
        rows = build(out, WORDS, packages_of(WORDS, arguments.cache))
    else:
        sources, packages = _folders(arguments.folder)
        judged: tuple[Source, ...] = ()
        if not arguments.no_debian:
            sources, packages = _debian(arguments, sources, packages)
            judged = WORDS
        rows = build(out, sources, packages, arguments.scale, judged=judged)
    print("\n".join([*totals(rows), "", *table(rows), "", f"in {out}"]))


def _debian(
    arguments: argparse.Namespace, sources: list[Source], packages: dict[str, Package]
) -> tuple[list[Source], dict[str, Package]]:
    """The sources and packages of the set, before the user's own."""
    cache: Path = arguments.cache
    wanted = [*SOURCES, *ROOMS, *RENDERED]
    packages = {**packages_of((*SOURCES, *WORDS), cache), **made.rendered(cache), **packages}
    if arguments.speech or arguments.speech_from:
        wanted += speech.SOURCES
        packages |= made.speech(cache, arguments.speech, arguments.speech_from)
    return [*wanted, *sources], packages


def _folders(given: list[list[str]]) -> tuple[list[Source], dict[str, Package]]:
    sources, packages = [], {}
    for folder, kind, licence in given:
        path = Path(folder).resolve()
        if not path.is_dir() or kind not in KINDS:
            raise CorpusError(f"--folder {folder} {kind}: wanted a folder that is there, and one of {', '.join(KINDS)}")
        name = f"folder:{path.name}"
        cut = None if kind == "speech" else 12.0
        sources.append(Source("train", kind, f"folder_{path.name}", name, licence, ("*",), cut=cut))
        packages[name] = Package(path)
    return sources, packages


if __name__ == "__main__":
    ended(main)
