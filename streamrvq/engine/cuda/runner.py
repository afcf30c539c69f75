"""Steps on one device, one after another, and what is known when an exception comes in the middle.

Knows: programs, the memory that they share, turns. Does not know: the engine contract's arguments (engine.py).

A step that was asked for may have happened or not when an exception comes: `Program.done` tells, once the device is at
rest. So each call begins with `begin`, which waits for the device and takes note of such a step: first its outputs are
copied from pinned memory, then its slots' hop counts move, in one store each. Both may be done again.
"""

from __future__ import annotations

import os
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import EngineError
from ...geometry import Plan
from ...system.turn import Turn
from ..base import Ints
from .device import Bytes, Device, Memory
from .layout import Places, Shape
from .program import Program
from .resident import Resident
from .states import CudaStates

#: Programs that are kept. Each has some hundred nodes, and no buffers of its own.
PROGRAMS = 256
#: Seconds between two looks at another thread's turn.
LOOK = 1e-4


class _Asked(NamedTuple):
    """A step that may have happened."""

    serial: int
    program: Program
    outputs: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]]  #: where to, and from which pinned memory
    states: CudaStates  #: kept, or their memory might go while the device is at it
    slots: Ints
    after: Ints  #: their hop counts after it


class Runner:
    """Steps on a device.

    Whoever calls a method takes the turn before, with `begin`, and gives it back with `end`.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._process, self._turn = os.getpid(), Turn()
        self._asked: _Asked | None = None
        self._serial = 0
        self._block: Memory | None = None
        self._host: Bytes | None = None
        self._programs: OrderedDict[tuple[Resident, Shape], Program] = OrderedDict()

    def begin(self) -> None:
        """Take the turn for the function that called this, and come to rest.

        Raises:
            EngineError: the process was forked, the device failed, or whoever has the turn waits for the function that
                called this: then nobody would ever have it.
        """
        if os.getpid() != self._process:
            raise EngineError(
                "the cuda engine was made before this process was forked, and a GPU does not come through a fork; "
                "load the codec in the child, or start processes by spawning"
            )
        frame = sys._getframe(1)
        while True:
            turn = self._turn
            if turn.take(frame) and turn is self._turn:
                break
            if turn is self._turn and turn.is_below(frame):
                raise EngineError(
                    "a signal handler used the cuda engine in the middle of one of its steps, which goes on only when "
                    "the handler returns; wanted it used between steps: set a flag in the handler, and act on it there"
                )
            time.sleep(LOOK)
        self._settle()

    def end(self) -> None:
        """Give the turn back. A function that has ended has it no longer anyway."""
        self._turn = Turn()

    def step(
        self, program: Program, states: CudaStates, slots: Ints, clock: Ints, length: Ints,
        outputs: Sequence[npt.NDArray[Any] | None],
    ) -> None:  # fmt: skip
        """A step whose inputs are in place. ``outputs`` are filled: what the program gives, and its latents."""
        self._serial += 1
        sources = program.outputs, program.latents
        rows = len(slots)
        taken = [(to, at[:rows]) for to, at in zip(outputs, sources, strict=True) if to is not None and at is not None]
        after = clock + program.shape.hops
        program.forget()
        self._asked = _Asked(self._serial, program, taken, states, np.array(slots), after)
        program.ask(self._serial, states.address, slots, clock, length)
        self._settle()

    def _settle(self) -> None:
        asked = self._asked
        if asked is None:
            return
        self.device.synchronize()
        if asked.program.done == asked.serial:
            for to, source in asked.outputs:
                to[...] = source
            asked.states.counts.values[asked.slots] = asked.after
        self._asked = None

    def program(self, resident: Resident, shape: Shape) -> Program:
        """The program for steps of a shape.

        Raises:
            EngineError: a larger step than there is memory for.
        """
        key = resident, shape
        program = self._programs.get(key)
        if program is not None:
            self._programs.move_to_end(key)
            return program
        places = Places(resident, shape)
        block, host = self._room(places)
        program = Program(self.device, resident, places, block.address, host)
        self._programs[key] = program
        while len(self._programs) > PROGRAMS:
            self._programs.popitem(last=False)
        return program

    def _room(self, places: Places) -> tuple[Memory, Bytes]:
        """The memory that all programs share. Where it must grow, they are made again when they are asked for."""
        block, host = self._block, self._host
        if block is None or block.size < places.size:
            had = 0 if block is None else block.size
            self._programs, self._block, block = OrderedDict(), None, None  # first: the two are never there at once
            roomy = max(places.size, had + had // 2)  # so that it grows a few times only
            self._block = block = self.device.memory(roomy if roomy < self.device.free_memory // 2 else places.size)
        if host is None or len(host) < places.host_size:
            had = 0 if host is None else len(host)
            self._programs, self._host, host = OrderedDict(), None, None
            self._host = host = self.device.host_memory(max(places.host_size, had + had // 2))
        return block, host

    def new_states(self, plan: Plan, slots: int) -> CudaStates:
        """State for fresh streams."""
        return CudaStates(self, plan, slots)


def bytes_a_row(resident: Resident) -> int:
    """Of the device's memory that one more row takes in a step of one hop."""
    levels = 0 if resident.levels is None else len(resident.levels.quantizer.levels)
    few, many = (Places(resident, Shape(rows, 1, levels)).size for rows in (64, 128))
    return -(-(many - few) // 64)
