"""One kind of step, made once: its buffers, the kernels' parameters, and the recorded work.

Knows: what a step of so many rows and hops does, and in which order. Does not know: whose states it moves: the request
says that.

A step is one `Recording.run`. It sends the request: where the states lie, which slots, their clocks and lengths, and
the inputs. Kernels compute edges, load what is past, take the input through all layers, and save what will be past.
The outputs come back, and then, last of all, the request's serial number: so whoever finds it knows that all of the
step has happened.
"""

from __future__ import annotations

from ctypes import sizeof
from typing import Any

import numpy as np
import numpy.typing as npt

from .addresses import Addresses
from .coding import Coding
from .device import Bytes, Device, Download, Launch, Upload, Work
from .kept import Kept
from .layers import THREADS, Launching, Layers, blocks
from .layout import HEADER, Places
from .resident import Resident
from .structs import Edges, Finish, Move, Request, Spread, as_bytes

#: The slot of a row without a stream, and its clock: it cuts nothing off, so that other rows need not look for edges.
NO_STREAM, IN_THE_MIDDLE = -1, 1 << 20
#: Threads of a block, as kernels.cu has them.
EDGE_THREADS = 128


class Program:
    """Steps of one shape, of a plan on a device.

    Args:
        block: address of the device's memory, and ``host``: pinned memory, of `Places.size` and `Places.host_size`
            bytes. Programs share them: one step at a time.

    Attributes:
        inputs: pinned: float32 ``[rows, inputs]``, or int32 codes ``[rows, levels, hops]`` of a decoder.
        outputs: pinned: float32 ``[rows, outputs]``, or int32 codes ``[rows, levels, hops]`` of an encoder.
        latents: pinned float32 ``[rows, levels · dim, hops]``, or None.
    """

    def __init__(self, device: Device, resident: Resident, places: Places, block: int, host: Bytes) -> None:
        self.shape, self._resident, self._places, self._block = places.shape, resident, places, block
        self._multiprocessors = device.multiprocessors
        rows = self.shape.rows
        request, answer = host[: places.request_size], host[places.request_size : places.host_size]
        self._header = request[: sizeof(Request)].view(np.uint64)
        self._slots = _view(request, places.slots, np.int32, (rows,))
        self._clock = _view(request, places.clock, np.int64, (rows,))
        self._length = _view(request, places.length, np.int64, (rows,))
        self.inputs = _view(request, places.inputs, places.input_kind, places.input_shape)
        self._done = answer[:8].view(np.int64)
        self.outputs = _view(answer, HEADER, places.output_kind, places.output_shape)
        self.latents = None
        if places.latents_shape is not None:
            self.latents = _view(answer, places.latents, np.float32, places.latents_shape)

        self._kept = Kept(device)  # parameters
        launches = self._launches()
        offsets, size = [], 0
        for *_, parameters in launches:
            offsets.append(size)
            size += -(-sizeof(parameters) // 64) * 64
        table = np.zeros(size, np.uint8)
        for offset, (*_, parameters) in zip(offsets, launches, strict=True):
            table[offset : offset + sizeof(parameters)] = np.frombuffer(bytes(parameters), np.uint8)
        at = self._kept.put(table)
        answers = block + places.answer
        work: list[Work] = [Upload(block, request)]
        work += [
            Launch(name, grid, threads, shared, at + offset)
            for (name, grid, threads, shared, _), offset in zip(launches, offsets, strict=True)
        ]
        work += [Download(answer[HEADER:], answers + HEADER), Download(answer[:8], answers)]
        self._recording = device.record(work)

    def ask(self, serial: int, states: int, slots: Any, clock: Any, length: Any) -> None:
        """Ask for a step; `inputs` is filled. Returns at once.

        Args:
            states: the address of slot 0's state.
            slots, clock, length: of as many rows as there are; the program's others have no stream.
        """
        rows = len(slots)
        self._header[:] = states, serial
        self._slots[:rows], self._clock[:rows], self._length[:rows] = slots, clock, length
        self._slots[rows:], self._clock[rows:], self._length[rows:] = NO_STREAM, IN_THE_MIDDLE, -1
        self._recording.run()

    def forget(self) -> None:
        """Before a step is asked for: what lies in the shared memory may be another program's."""
        self._done[0] = 0

    @property
    def done(self) -> int:
        """The serial number of the step that happened last, when the device is at rest."""
        return int(self._done[0])

    # ------------------------------------------------------------------ kernels

    def _launches(self) -> list[Launching]:
        resident, places, block = self._resident, self._places, self._block
        at, rows = Addresses(resident, places, block), self.shape.rows
        tails = at.tails()
        move = Move(request=block, slots=block + places.slots, tails=self._kept.put(as_bytes(tails)),
                    done=block + places.answer, state_size=resident.plan.state_size, count=len(tails))  # fmt: skip
        save = Move.from_buffer_copy(move)
        save.save = 1
        launches = [self._edges(at)]
        if tails:
            launches.append(("move", (len(tails), rows, 1), THREADS, 0, move))
        if resident.kind == "decode":
            launches += Coding(at, self._multiprocessors).decoding()
        launches.append(self._spread(at))
        launches += Layers(at, self._multiprocessors).launches()
        if resident.finish and not resident.convolutions[-1].column:
            count = rows * places.strides[-1]
            launches.append(("finish", (blocks(count, THREADS), 1, 1), THREADS, 0, Finish(at.buffer(-1), count)))
        if resident.kind == "encode":
            launches += Coding(at, self._multiprocessors).encoding()
        launches.append(("move", (max(1, len(tails)), rows, 1), THREADS, 0, save))
        return launches

    def _edges(self, at: Addresses) -> Launching:
        places, block = self._places, self._block
        edges = Edges(at.clock, at.length, self._resident.edges, block + places.low, block + places.high,
                      block + places.cut, self.shape.rows, self.shape.hops)  # fmt: skip
        return "edges", (self._resident.edge_layers, 1, 1), EDGE_THREADS, 4 * EDGE_THREADS, edges

    def _spread(self, at: Addresses) -> Launching:
        resident, places = self._resident, self._places
        first = resident.convolutions[0].convolution.layer
        count = self.shape.hops * resident.plan.unit_in * first.cin
        edges = at.edges_of(0)
        spread = Spread(
            in_=self._block + places.given, active=at.fresh(0), low=edges["low"], high=edges["high"],
            activation=resident.input_activated, count=count, channels=first.cin, active_stride=places.strides[0],
        )  # fmt: skip
        if resident.input.skip is not None:
            spread.plain, spread.plain_stride = at.kept_for(resident.input.skip)
        return "spread", (blocks(count, THREADS), self.shape.rows, 1), THREADS, 0, spread


def _view(block: Bytes, at: int, kind: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """An array in a block of bytes."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    array: npt.NDArray[Any] = block[at : at + size].view(kind).reshape(shape)
    return array
