"""Is a candidate better than the current codec? ViSQOL, mel distance and ESTOI decide, clip by clip, by a stated rule.

The candidate is better if one of these gains more than twice the standard error of the clips' differences. None of them
may lose more than one standard error. All are means over the same clips, with all codebooks. ESTOI counts on speech
only: the other two can improve although words are lost. The standard error reflects the choice of clips, which is the
only random part of the figures.

Knows: reports. Does not know: how they were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import QualityError
from .metrics import METRICS
from .report import Report, mean

DECIDING = ("visqol", "mel")
SPEECH = "estoi"  #: decides too, over the clips with a score on both sides, if there are at least `FEWEST`
GAIN, LOSS = 2.0, 1.0  #: standard errors
FEWEST = 3  #: clips

Scores = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Change:
    """The change of one metric: how much better the candidate is, as a mean over clips, and its standard error."""

    metric: str
    gain: float
    stderr: float
    clips: int

    @property
    def gained(self) -> bool:
        return self.gain > GAIN * self.stderr

    @property
    def lost(self) -> bool:
        return self.gain < -LOSS * self.stderr

    def __str__(self) -> str:
        word = "gains" if self.gained else "loses" if self.lost else "about the same:"
        return f"{METRICS[self.metric].title} {word} {self.gain:+.4f} ± {self.stderr:.4f} over {self.clips} clips"


@dataclass(frozen=True)
class Verdict:
    """The decision and the changes that it is based on."""

    better: bool
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        return f"{'better' if self.better else 'not better'}: " + "; ".join(map(str, self.changes))


def decide(old: Scores, new: Scores) -> Verdict:
    """Compare two sets of scores. ``old`` and ``new`` map a clip to a metric to a score.

    Raises:
        QualityError: the clips differ, there are too few, or a score is missing on one side.
    """
    if old.keys() != new.keys() or len(new) < FEWEST:
        common = len(old.keys() & new.keys())
        raise QualityError(
            f"{len(old)} and {len(new)} clips were to be compared, {common} of them the same; wanted the very "
            f"same ones, {FEWEST} or more: measure both with the same --data, --clips and --seconds"
        )
    changes = []
    for metric in DECIDING:
        sign = 1 if METRICS[metric].more_is_better else -1
        gains = []
        for clip in sorted(new):
            before, after = old[clip].get(metric), new[clip].get(metric)
            if before is None or after is None:
                raise QualityError(
                    f"{clip} has no {metric} on one side; wanted both: measure with --metrics visqol,mel"
                )
            gains.append(sign * (after - before))
        changes.append(_change(metric, gains))
    spoken = [(old[clip].get(SPEECH), new[clip].get(SPEECH)) for clip in sorted(new)]
    gains = [after - before for before, after in spoken if before is not None and after is not None]
    if len(gains) >= FEWEST:
        changes.append(_change(SPEECH, gains))
    better = any(change.gained for change in changes) and not any(change.lost for change in changes)
    return Verdict(better, tuple(changes))


def _change(metric: str, gains: list[float]) -> Change:
    found = mean(gains)
    return Change(metric, float(found["mean"] or 0.0), float(found["stderr"] or 0.0), len(gains))


def scores_of(report: Report, kind: str = "ours") -> Scores:
    """The scores with all codebooks, of the codec (``"ours"``) or its rival, by the names and samples of the clips."""
    rows = [row for row in report["systems"] if row["kind"] == kind]
    if not rows:
        raise QualityError(f"the report has no row of {kind!r}; wanted a codec's scores")
    name = max(rows, key=lambda row: int(row["amount"]))["name"]
    clips = [clip for clip in report["clips"] if clip["split"] == "validation"]
    return {f"{clip['name']} {clip['sha256'][:12]}": clip["scores"][name] for clip in clips}
