"""Validation data where none was named: some of the files are held out, and never trained on.

Which ones depends on their samples alone. So the same files give the same split, whatever they are called and wherever
they lie. Files with equal samples stay together: otherwise one could be trained on and judged by.

Knows: how many files are held out, and which. Does not know: what a validation measures.
"""

from __future__ import annotations

from ..corpus import Clip, Corpus

_SHARE = 10  #: one file in so many is held out
_MOST = 32  #: files that are held out; a validation takes short excerpts of them


def split(corpus: Corpus, shortest: int) -> tuple[Corpus, Corpus | None]:
    """The files to train on, and those that are held out.

    Args:
        corpus: all files.
        shortest: samples that a file must have to be held out.

    Returns:
        The second is None where nothing can be held out: there is one file only, all files are equal, or none is long
        enough. Then the first has them all.
    """
    groups: dict[str, list[Clip]] = {}
    for clip in corpus.clips:
        groups.setdefault(corpus.digest(clip), []).append(clip)
    fit = sorted(digest for digest, clips in groups.items() if clips[0].length >= shortest)
    # One group at least must be left to train on.
    count = min(_MOST, max(1, len(groups) // _SHARE), len(fit), len(groups) - 1)
    if count < 1:
        return corpus, None
    held = set(fit[:count])
    kept = [clip for clip in corpus.clips if corpus.digest(clip) not in held]
    return corpus.only(kept), corpus.only([clip for clip in corpus.clips if corpus.digest(clip) in held])
