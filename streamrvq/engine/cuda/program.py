"""One kind of step, made once: its buffers, the kernels' parameters, and the recorded work.

Knows: what a step of so many rows and hops does, and in which order. Does not know: whose states it moves: the request
says that.

A step is one `Recording.run`. It sends the request: where the states lie, which slots, their clocks and lengths, and
the inputs. Kernels compute edges, load what is past, take the input through all layers, and save what will be past.
The outputs come back, and then, last of all, the request's serial number: so whoever finds it knows that all of the
step has happened.
"""

from __future__ import annotations

from ctypes import Structure, sizeof
from typing import Any

import numpy as np
import numpy.typing as npt

from .device import Bytes, Device, Download, Launch, Upload, Work
from .kept import Kept
from .layout import HEADER, Places
from .resident import COLUMN_THREADS, Resident, ResidentConvolution
from .structs import Column, Conv, Edges, Embed, Finish, Move, Quantise, Request, Spread, Tail, as_bytes

#: The slot of a row without a stream, and its clock: it cuts nothing off, so that other rows need not look for edges.
NO_STREAM, IN_THE_MIDDLE = -1, 1 << 20
#: Threads of a block, as kernels.cu has them.
EDGE_THREADS, THREADS = 128, 256

Launching = tuple[str, tuple[int, int, int], int, int, Structure]  #: name, grid, threads, shared bytes, parameters


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
        rows, tails = self.shape.rows, self._tails()
        move = Move(request=block, slots=block + places.slots, tails=self._kept.put(as_bytes(tails)),
                    done=block + places.answer, state_size=resident.plan.state_size, count=len(tails))  # fmt: skip
        save = Move.from_buffer_copy(move)
        save.save = 1
        launches = [self._edges()]
        if tails:
            launches.append(("move", (len(tails), rows, 1), THREADS, 0, move))
        if resident.kind == "decode":
            launches.append(self._embed())
        launches.append(self._spread())
        for i, c in enumerate(resident.convolutions):
            launches.append(self._conv(i, c) if c.column is None else self._column(i, c))
        last = resident.convolutions[-1]
        if resident.kind == "decode" and last.column is None:
            count = rows * places.strides[-1]
            launches.append(("finish", (_blocks(count, THREADS), 1, 1), THREADS, 0, Finish(self._buffer(-1), count)))
        if resident.kind == "encode":
            launches.append(self._quantise())
        launches.append(("move", (max(1, len(tails)), rows, 1), THREADS, 0, save))
        return launches

    def _buffer(self, i: int) -> int:
        """Where the rows that convolution i reads begin, its past inputs first; −1: the last one's results."""
        return self._block + self._places.buffers[i]

    def _tails(self) -> list[Tail]:
        places, tails = self._places, []
        for i, c in enumerate(self._resident.convolutions):
            kept = c.convolution.history
            fresh = self.shape.hops * c.convolution.layer.rate_in * kept.channels
            if kept.size:
                tails.append(Tail(self._buffer(i), places.strides[i], fresh, kept.offset, kept.size))
        for skip, at, stride in zip(self._resident.skips, places.skips, places.skip_strides, strict=True):
            fresh = self.shape.hops * skip.rate * skip.channels
            if skip.history.size:
                tails.append(Tail(self._block + at, stride, fresh, skip.history.offset, skip.history.size))
        return tails

    def _edges(self) -> Launching:
        places, block = self._places, self._block
        edges = Edges(block + places.clock, block + places.length, self._resident.edges, block + places.low,
                      block + places.high, block + places.cut, self.shape.rows, self.shape.hops)  # fmt: skip
        return "edges", (self._resident.edge_layers, 1, 1), EDGE_THREADS, 4 * EDGE_THREADS, edges

    def _edges_of(self, layer: int) -> dict[str, int]:
        """Where a layer's edges lie; layer 0 is the input."""
        if layer >= self._resident.edge_layers:
            return {}
        places, row = self._places, 4 * layer * self.shape.rows
        return {
            "low": self._block + places.low + row,
            "high": self._block + places.high + row,
            "cut": self._block + places.cut + 4 * layer,
        }

    def _embed(self) -> Launching:
        shape, levels, places = self.shape, self._resident.levels, self._places
        assert levels is not None
        latent, dim = levels.quantizer.latent_channels, levels.quantizer.codebook_dim
        frames = shape.rows * shape.hops
        embed = Embed(self._block + places.given, levels.address, self._block + places.inputs, frames, shape.hops,
                      latent, dim, shape.levels)  # fmt: skip
        return "embed", (frames, _blocks(latent, THREADS), 1), THREADS, 0, embed

    def _spread(self) -> Launching:
        resident, places = self._resident, self._places
        first = resident.convolutions[0].convolution.layer
        count = self.shape.hops * resident.plan.unit_in * first.cin
        edges = self._edges_of(0)
        spread = Spread(
            in_=self._block + places.given, active=self._fresh(0), low=edges["low"], high=edges["high"],
            activation=resident.input_activated, count=count, channels=first.cin, active_stride=places.strides[0],
        )  # fmt: skip
        if resident.input.skip is not None:
            spread.plain, spread.plain_stride = self._kept_for(resident.input.skip)
        return "spread", (_blocks(count, THREADS), self.shape.rows, 1), THREADS, 0, spread

    def _fresh(self, i: int) -> int:
        """Where new inputs of convolution i go, behind its past ones."""
        return self._buffer(i) + 4 * self._resident.convolutions[i].convolution.history.size

    def _kept_for(self, skip: int) -> tuple[int, int]:
        """Where a skip's new rows go, and from stream to stream."""
        at = self._block + self._places.skips[skip] + 4 * self._resident.skips[skip].history.size
        return at, self._places.skip_strides[skip]

    def _column(self, i: int, c: ResidentConvolution) -> Launching:
        layer, places, rows = c.convolution.layer, self._places, self.shape.hops * c.convolution.rows
        column = Column(
            in_=self._buffer(i), weights=c.column or 0, bias=c.bias, out=self._buffer(-1), in_stride=places.strides[i],
            taps=layer.kernel, depth=layer.cin, rows=rows, out_stride=places.strides[-1],
            finish=self._resident.kind == "decode", **self._edges_of(i + 1),
        )  # fmt: skip
        grid = _blocks(rows, COLUMN_THREADS), self.shape.rows, 1
        return "column", grid, COLUMN_THREADS, c.column_shared(), column

    def _conv(self, i: int, c: ResidentConvolution) -> Launching:
        it, places, shape = c.convolution, self._places, self.shape
        rows = shape.hops * it.rows
        tile = c.tile(shape.rows * rows, self._multiprocessors)
        padded = -(-it.depth // tile.depth) * tile.depth
        conv = Conv(
            in_=self._buffer(i), weights=c.weights[padded], bias=c.bias, activation=c.activated,
            in_stride=places.strides[i], row_step=it.row_step, tap_step=it.tap_step, taps=it.taps, depth=it.depth,
            padded=padded, ldw=-(-it.columns // 4) * 4, columns=it.columns, rows=rows, all=shape.rows * rows,
            **self._edges_of(i + 1),
        )  # fmt: skip
        if it.join is not None:
            conv.join, conv.join_stride = self._block + places.skips[it.join], places.skip_strides[it.join]
        if it.epilogue.skip is not None:
            conv.plain, conv.plain_stride = self._kept_for(it.epilogue.skip)
        if i + 1 == len(self._resident.convolutions):
            conv.plain, conv.plain_stride = self._buffer(-1), places.strides[-1]
        else:
            conv.active, conv.active_stride = self._fresh(i + 1), places.strides[i + 1]
        numbers = it.columns, conv.join_stride, conv.plain_stride, conv.active_stride
        addresses = conv.join, conv.plain, conv.active
        conv.quads = all(n % 4 == 0 for n in numbers) and all(a % 16 == 0 for a in addresses)
        grid = _blocks(conv.all, tile.rows), _blocks(it.columns, tile.columns), 1
        return tile.kernel, grid, tile.threads, tile.shared, conv

    def _quantise(self) -> Launching:
        shape, levels, places = self.shape, self._resident.levels, self._places
        assert levels is not None
        frames, sizes = shape.rows * shape.hops, levels.quantizer
        search = levels.search(frames, self._multiprocessors)
        answer = self._block + places.answer
        quantise = Quantise(
            z=self._buffer(-1), levels=levels.address, codes=answer + HEADER,
            latents=answer + places.latents if places.latents_shape else 0, frames=frames, hops=shape.hops,
            latent=sizes.latent_channels, dim=sizes.codebook_dim, size=sizes.codebook_size, count=shape.levels,
            slab=search.slab,
        )  # fmt: skip
        return search.kernel, (_blocks(frames, search.frames), 1, 1), THREADS, search.shared, quantise


def _blocks(count: int, each: int) -> int:
    return -(-count // each)


def _view(block: Bytes, at: int, kind: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """An array in a block of bytes."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    array: npt.NDArray[Any] = block[at : at + size].view(kind).reshape(shape)
    return array
