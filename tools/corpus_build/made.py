"""Audio that is made before it is cut: rendered music and synthesised speech, kept in the cache as if it were packages.

Knows: where it is kept, and what it is made from. Does not know: how it is made, and how much of it is used.
"""

from __future__ import annotations

from pathlib import Path

from . import kokoro, midi
from . import speech as spoken
from .build import Package
from .debian import packages_named
from .debian_more import INSTRUMENTS, NOTES


def rendered(cache: Path) -> dict[str, Package]:
    """The packages of notes, rendered below ``cache``. Raises `CorpusError` as `midi.render` does."""
    packages = packages_named((INSTRUMENTS, *NOTES), cache)
    return {
        name: midi.render(packages[name], packages[INSTRUMENTS], cache / "rendered" / name, _say) for name in NOTES
    }  # fmt: skip


def speech(cache: Path, hours: float, given: Path | None) -> dict[str, Package]:
    """Speech to train on, ``hours`` of it or all of the folder ``given``, and speech for validation.

    What is missing is synthesised below ``cache``. Raises `CorpusError` as `kokoro.fetch` and `speech.make` do.
    """
    texts = spoken.sentences(packages_named([spoken.TEXTS], cache)[spoken.TEXTS].folder)
    parts = kokoro.fetch(cache / "kokoro", _say)
    held, made = cache / "speech-held", cache / "speech"
    spoken.make(held, texts, lambda: kokoro.Kokoro(parts), held=spoken.HELD_CLIPS, say=_say)
    if given is None:
        spoken.make(made, texts, lambda: kokoro.Kokoro(parts), hours, say=_say)
    for folder in (held, *([made] if given is None else [])):
        terms = folder / "usr/share/doc/kokoro/copyright"  # as in a Debian package
        terms.parent.mkdir(parents=True, exist_ok=True)
        terms.write_text(kokoro.terms(parts), "utf-8")
    train = spoken.package(made, hours) if given is None else spoken.package(given.resolve())
    return {spoken.MADE: train, spoken.MADE_HELD: Package(held)}


def _say(line: str) -> None:
    print(line, flush=True)
