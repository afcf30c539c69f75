"""An encoder with what reads for it: this process, or processes that read ahead.

Knows: how many of them an engine needs, which GPUs were named, and how many encoders each needs. Does not know: what
they do.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...codec import Codec
from ...errors import InputError
from ...system.cores import available_cores
from ...system.foreign_data import is_whole, shown
from .encoder import Encoder, block_for, streams_at_once
from .readers import Readers
from .reading import ReadHere

#: Workers that share a GPU, and the cores that each of them and its readers should have. While one puts a step
#: together or writes what came of it, the GPU computes for another.
_WORKERS_EACH, _CORES_OF_EACH = 3, 4


def check_readers(readers: int | None) -> None:
    """Refuse a number of readers that there cannot be, with an `InputError`."""
    if readers is not None and not is_whole(readers, 0):
        raise InputError(f"{shown(readers)} readers were asked for; wanted at least 0, as a whole number")


def gpus(devices: str | Sequence[str], engine: str = "auto") -> tuple[str, ...]:
    """The GPUs that were named; the first, if only an engine for GPUs was. Empty: the CPU.

    Raises:
        InputError: the CPU beside GPUs.
    """
    if isinstance(devices, str):
        devices = (devices,)
    if "cpu" in devices and set(devices) != {"cpu"}:
        raise InputError(f"the devices are {', '.join(devices)}; wanted GPUs, or cpu alone")
    if not devices:
        return ("cuda",) if engine == "cuda" else ()
    return () if set(devices) == {"cpu"} else tuple(devices)


def workers_for(devices: int) -> int:
    """Workers for so many GPUs of one machine: at least one for each."""
    return devices * max(1, min(_WORKERS_EACH, available_cores() // (_CORES_OF_EACH * max(1, devices))))


def readers_of_each(workers: int) -> int:
    """Of ``workers`` on one machine, each with an engine that encodes many files at once: the cores it leaves them."""
    return max(1, available_cores() // max(1, workers) - 1)


def open_encoder(codec: Codec, levels: int | None, tail: str, readers: int | None = None) -> Encoder:
    """What encodes files with ``codec``.

    Args:
        codec: the codec.
        levels, tail: as for `Codec.encode`.
        readers: processes that read files ahead. 0: files are read in this process. None: one for each core that the
            engine leaves, if it encodes many files at once, and else 0.

    Raises:
        InputError: ``readers`` is negative.
    """
    check_readers(readers)
    engine, rate = codec.engine, codec.sample_rate
    streams, block = streams_at_once(engine), block_for(engine)
    if readers is None:
        readers = readers_of_each(1) if streams > 1 else 0
    if readers:
        return Encoder(codec, Readers(readers, rate, block), levels, tail)
    return Encoder(codec, ReadHere(streams, rate, block), levels, tail)
