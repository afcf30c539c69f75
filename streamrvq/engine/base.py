"""The engine contract: the one interface between what schedules and what computes.

Knows: what a step takes and gives, and the checks that every engine makes before it touches state. Does not know:
streams, queues or files; an engine sees slots, clocks and lengths and nothing else.

A step moves B rows by the same k ≥ 1 hops. Row b is the stream in slot ``slots[b]``, whose hop counter stands at
``clock[b]`` and whose signal has ``length[b]`` inputs in all (samples when encoding, frames when decoding), −1 while
that is not known. Rows may be of any age. Only the named slots change. The engine returns all k hops. The caller
decides which of the outputs belong to the stream (timeline.py).

A slot's state carries its own hop count (counts.py), and the two change as one. If a step raises, either no slot has
changed, or all have and the outputs are kept: KeyboardInterrupt, or what else a signal handler raises, can come after
the last act of a step. So the caller asks for the same step again. A step that is next is computed. The step that
happened last gives the outputs that it gave, and changes nothing. Any other is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..config import Config
from ..errors import InputError, SnapshotError
from ..geometry import Direction, Plan
from .counts import HopCounts, Step

Codes = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[Any]  #: float32 or float64, as the engine's dtype says


class States(Protocol):
    """The histories of ``slots`` streams of one direction, kept where and as the engine chooses."""

    @property
    def slots(self) -> int: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def counts(self) -> HopCounts: ...


class Engine(Protocol):
    """Computes steps. All arrays are numpy's; the slots of a fresh `States` are fresh streams."""

    @property
    def name(self) -> str:
        """``"native"``, ``"torch"`` or ``"cuda"``."""

    @property
    def description(self) -> str:
        """One line for people: name, dtype, threads."""

    @property
    def config(self) -> Config: ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64: of the state, the latents and the decoded pcm."""

    @property
    def threads(self) -> int:
        """Cores that a step computes on."""

    @property
    def row_hops(self) -> int:
        """Rows × hops of a step with which it is nearly as fast as it gets, at least 1. Larger steps cost memory, and
        gain little."""

    def new_states(self, slots: int, direction: Direction) -> Any:
        """State for ``slots`` fresh streams."""

    def encode_step(
        self, pcm: Floats, states: Any, slots: Ints, clock: Ints, length: Ints, levels: int, latents: bool = False
    ) -> tuple[Codes, Floats | None]:
        """Encode k hops: pcm ``[B, k · hop]`` → codes ``[B, levels, k]``.

        If ``latents`` asks for them, the quantisers' latents ``[B, levels · codebook_dim, k]`` come too; else None.

        Raises:
            InputError: see `check_step`.
            EngineError: ``clock`` is not the slots' hop count, nor is this the last step again. No slot has changed.
        """

    def decode_step(self, codes: Codes, states: Any, slots: Ints, clock: Ints, length: Ints) -> Floats:
        """Decode k frames: codes ``[B, K ≤ n_codebooks, k]``, −1 where a level is missing → pcm ``[B, k · hop]``.

        Raises as `encode_step`.
        """

    def hop_counts(self, states: Any, slots: Ints) -> Ints:
        """The hops that each named slot's state has been moved by, int64 ``[n]``; −1: see `reset`."""

    def reset(self, states: Any, slots: Ints) -> None:
        """Make the named slots fresh: their hop counts are 0.

        If an exception comes meanwhile, as after a signal, the slots have no state and refuse steps until a `reset` or
        an `import_state` goes through.
        """

    def export_state(self, states: Any, slot: int) -> list[Floats]:
        """The canonical state: a ``[rows, channels]`` array for each of `Plan.histories`, oldest row first."""

    def import_state(self, states: Any, slot: int, histories: Sequence[Floats], clock: int = 0) -> None:
        """The inverse of `export_state`; every array is checked before the slot is touched (`check_histories`).

        Args:
            clock: the hop count that the slot had.

        Raises:
            SnapshotError: as `check_histories`.
        """


def check_step(
    states: States, data: npt.NDArray[Any], slots: Ints, clock: Ints, length: Ints, levels: int, latents: bool = False
) -> Step:
    """Check a step's arguments against each other and return them by value, k among them.

    Raises:
        InputError: no row, no whole hop, other row counts, a slot out of range or named twice, a negative clock,
            levels that there are not, or a first step that is too short for the plan (`Plan.first`).
    """
    rows, unit = data.shape[0], states.plan.unit_in
    inputs: int = data.shape[-1]
    if not rows:
        raise InputError("a step got no rows; wanted at least one stream: leave a step with nothing to do out")
    if inputs < unit or inputs % unit:
        raise InputError(f"a step got {inputs} inputs a row; wanted a positive multiple of {unit}")
    if not (rows,) == slots.shape == clock.shape == length.shape:
        shapes = {"slots": slots.shape, "clock": clock.shape, "length": length.shape}
        name = next(name for name, shape in shapes.items() if shape != (rows,))
        raise InputError(f"{name} has shape {list(shapes[name])}; wanted [{rows}], one for each row")
    named = slots.tolist()  # plain numbers: the caches are cold after a step, and few rows the rule
    if len(set(named)) != rows:
        raise InputError(f"slots are {named}; wanted every slot at most once in a step")
    if not (min(named) >= 0 and max(named) < states.slots):
        raise InputError(f"slots are {named}; wanted slots from 0 to {states.slots - 1}")
    hops = clock.tolist()
    if (earliest := min(hops)) < 0:
        raise InputError(f"clock has {earliest}; wanted hops since the start, so at least 0")
    count = inputs // unit
    if earliest == 0 and count < states.plan.first:
        short = [n for at, n in zip(hops, length.tolist(), strict=True) if at == 0 and not 0 <= n <= inputs]
        if short:
            raise InputError(
                f"a first step has {count} hops; this codec's {states.plan.direction}r wants {states.plan.first}, or "
                "the whole signal: wait for more"
            )
    most = len(states.plan.quantizer.levels)
    if not 1 <= levels <= most:
        raise InputError(f"a step got {levels} levels; wanted 1 to {most}")
    return Step(named, hops, count, levels, latents)


def split_state(plan: Plan, state: Floats) -> list[Floats]:
    """One slot's histories, copied, out of a row ``[state_size]`` that holds them end to end."""
    ends = np.cumsum([rows * channels for rows, channels in plan.histories])
    parts = np.split(state, ends[:-1]) if len(ends) else []
    return [part.reshape(shape).copy() for part, shape in zip(parts, plan.histories, strict=True)]


def join_state(histories: Sequence[Floats]) -> Floats:
    """The inverse of `split_state`, for at least one history."""
    return np.concatenate([np.ravel(history) for history in histories])


def check_histories(plan: Plan, histories: Sequence[Floats], dtype: np.dtype[Any]) -> None:
    """Refuse histories that are not a state of this plan and dtype.

    Raises:
        SnapshotError: another number of histories, a wrong shape or dtype, or a number that is not finite.
    """
    wanted_count = len(plan.histories)
    if len(histories) != wanted_count:
        raise SnapshotError(
            f"the state has {len(histories)} histories; this codec's {plan.direction}r keeps {wanted_count}"
        )
    for i, (history, wanted) in enumerate(zip(histories, plan.histories, strict=True)):
        if history.shape != wanted or history.dtype != dtype:
            raise SnapshotError(
                f"history {i} is {history.dtype} {list(history.shape)}; "
                f"this codec's {plan.direction}r keeps {dtype} {list(wanted)}"
            )
        if not np.isfinite(history).all():
            raise SnapshotError(
                f"history {i} holds numbers that are not finite; the snapshot is damaged: start a new stream"
            )
