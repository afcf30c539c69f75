"""Connected English speech, synthesised: which texts, voices and speeds, and the folder where it is kept.

    FOLDER/manifest.tsv     a line for each clip: file, voice, second_voice, share_of_first, speed, seconds, text
    FOLDER/00000.flac …     24 kHz, mono

Clip N depends on N alone. So making can be interrupted at any time and continued, and more can be added.

The texts are the examples and definitions of WordNet 3.0, whose licence permits any use. Five voices are never trained
on: they speak the validation clips.

Knows: the order of clips, WordNet's files. Does not know: how speech is made (kokoro.py), how it is cut and described.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from .build import Package
from .errors import CorpusError
from .kokoro import RATE, Kokoro
from .sources import Source

HELD = ("af_sky", "am_liam", "bf_lily", "bm_daniel", "jf_nezumi")
HELD_CLIPS = 2 * len(HELD)
COLUMNS = ("file", "voice", "second_voice", "share_of_first", "speed", "seconds", "text")
TABLE = "manifest.tsv"
#: The name of the package whose texts are spoken, and of the packages that the speech becomes.
TEXTS, MADE, MADE_HELD = "wordnet-base", "kokoro", "kokoro-held"
#: Hours that bring the whole set to 20, with as many in rooms.
DEFAULT_HOURS = 1.5
_VOICES = 49  # that are trained on
_SEED = 20
_ENGLISH = 0.65  # how often a voice of an English speaker is chosen; others have accents
_PLAIN = re.compile(r"[A-Za-z0-9 ,.;:!?'()-]+")

SOURCES = (
    Source("train", "speech", "kokoro", MADE, "Apache-2.0", ("*",), lowest=RATE, origin="synthetic",
           speakers=_VOICES),
    Source("train", "speech", "kokoro_rooms", MADE, "Apache-2.0", ("*",), lowest=RATE, origin="in rooms",
           speakers=_VOICES),
    Source("validation", "speech", "kokoro_held", MADE_HELD, "Apache-2.0", ("*",), clips=HELD_CLIPS, lowest=RATE,
           origin="synthetic", speakers=len(HELD)),
    Source("validation", "speech", "kokoro_held_rooms", MADE_HELD, "Apache-2.0", ("*",), clips=len(HELD), lowest=RATE,
           origin="in rooms", speakers=len(HELD)),
)  # fmt: skip


def sentences(folder: Path) -> list[str]:
    """WordNet's examples and longer definitions, each once and sorted, of 30 to 220 plain characters.

    Raises `CorpusError` if the folder has none.
    """
    found: set[str] = set()
    for part in ("adj", "adv", "noun", "verb"):
        path = folder / "usr/share/wordnet" / f"data.{part}"
        if not path.is_file():
            raise CorpusError(f"{path} is not there; wanted the unpacked Debian package {TEXTS}")
        for line in path.read_text("latin-1").splitlines():
            gloss = "" if line.startswith("  ") else line.partition("|")[2]
            found.update(_sentence(text, 30) for text in re.findall(r'"([^"]+)"', gloss))
            found.add(_sentence(re.split(r';\s*"', gloss)[0], 60))
    return sorted(found - {""})


def _sentence(text: str, shortest: int) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    if not shortest <= len(text) <= 220 or not _PLAIN.fullmatch(text):
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def make(
    folder: Path, texts: list[str], model: Callable[[], Kokoro], hours: float = 0.0, held: int = 0,
    say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Make speech in ``folder`` until it holds ``hours``, or ``held`` clips of the voices that are not trained on.

    ``model`` is called if something is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = table(folder) if (folder / TABLE).is_file() else []
    have, number = sum(float(row["seconds"]) for row in rows), len(rows)
    if number >= held and have >= hours * 3600:
        return
    if not texts:
        raise CorpusError("there are no texts to speak; wanted WordNet's")
    write_rows(folder, rows)  # without what an interrupted run left
    order, speaker = np.random.default_rng(_SEED).permutation(len(texts)), model()
    # Clips of validation last 4 to 6 seconds, as about 70 characters do. They are taken from the end, as the others are
    # not within the first hundred hours.
    medium = [texts[at] for at in order[::-1] if 65 <= len(texts[at]) <= 75]
    while number < held or have < hours * 3600:
        rng = np.random.default_rng([_SEED, number, bool(held)])
        if held:
            names, share, speed = (HELD[number % len(HELD)], ""), 1.0, 1.0
            text = medium[number % len(medium)]
        else:
            names, share, speed = _voices(sorted(set(speaker.voices) - set(HELD)), rng)
            text = texts[order[number % len(order)]]
        voice = share * speaker.voices[names[0]]
        if names[1]:
            voice = voice + (1 - share) * speaker.voices[names[1]]
        pcm = speaker.speak(text, voice.astype(np.float32), names[0][0] == "b", speed)
        name = f"{number:05d}.flac"
        soundfile.write(folder / name, np.clip(np.nan_to_num(pcm), -1, 1), RATE, format="FLAC", subtype="PCM_16")
        row = (name, *names, f"{share:g}", f"{speed:g}", f"{len(pcm) / RATE:.2f}", text)
        with open(folder / TABLE, "a", encoding="utf-8") as file:
            file.write("\t".join(row) + "\n")
        number, have = number + 1, have + len(pcm) / RATE
        if number % 100 == 0:
            say(f"{number} clips of speech, {have / 3600:.2f} hours")


def _voices(names: list[str], rng: np.random.Generator) -> tuple[tuple[str, str], float, float]:
    """One voice or two to be mixed, the share of the first, and the speed."""
    english = [name for name in names if name[0] in "ab"]
    first, second = str(rng.choice(english if rng.random() < _ENGLISH else names)), str(rng.choice(names))
    share = float(rng.choice([1.0, 1.0, 0.5, 0.7]))
    return (first, second if share < 1 else ""), share, round(float(rng.uniform(0.85, 1.2)), 2)


def table(folder: Path) -> list[dict[str, str]]:
    """The lines of a folder's table, but an unfinished last one. Raises `CorpusError` if it has none."""
    try:
        text = (folder / TABLE).read_text("utf-8")
    except OSError:
        raise CorpusError(f"{folder} has no {TABLE}; wanted a folder of speech that tools/corpus made") from None
    rows = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    if rows and set(rows[0]) != set(COLUMNS):
        raise CorpusError(f"{folder / TABLE} has the columns {list(rows[0])}; wanted {list(COLUMNS)}")
    return rows


def write_rows(folder: Path, rows: list[dict[str, str]]) -> None:
    """Write a folder's table anew."""
    lines = [COLUMNS, *(tuple(row[name] for name in COLUMNS) for row in rows)]
    (folder / TABLE).write_text("".join("\t".join(line) + "\n" for line in lines), "utf-8")


def package(folder: Path, hours: float = math.inf) -> Package:
    """The first ``hours`` of a folder of speech, to train on.

    Raises `CorpusError` if a voice in it is one of validation, or a file is missing.
    """
    rows, seconds = [], 0.0
    for row in table(folder):
        if seconds < hours * 3600:
            rows.append(row)
            seconds += float(row["seconds"])
    wrong = [row["file"] for row in rows if {row["voice"], row["second_voice"]} & set(HELD)]
    if wrong:
        raise CorpusError(f"{folder / wrong[0]} has a voice of validation ({', '.join(HELD)}); wanted other voices")
    missing = [row["file"] for row in rows if not (folder / row["file"]).is_file()]
    if missing or not rows:
        raise CorpusError(f"{folder} has {len(rows)} clips in its table and lacks {len(missing)}: {missing[:3]}")
    return Package(folder, names=frozenset(row["file"] for row in rows))
