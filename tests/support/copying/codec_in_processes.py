"""A script: a codec on each engine, sent to other processes in every usual way, under one start method.

    python codec_in_processes.py fork|spawn|forkserver FILE.safetensors ENGINE...

The parent encodes first, on two threads where the engine has them. It prints "ok" if all came back with its own codes.
Knows: multiprocessing, concurrent.futures, torch's DataLoader. Does not know: pytest.
"""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from streamrvq.codec import Codec, load

#: Long enough that torch divides it among threads.
PCM = (np.random.default_rng(0).standard_normal(22_050) * 0.1).astype(np.float32)
HALF = 8_777


class Signals:
    """What a DataLoader takes as a dataset, which holds codecs: item i is the codes of codec i."""

    def __init__(self, codecs: list[Codec]) -> None:
        self.codecs = codecs

    def __len__(self) -> int:
        return len(self.codecs)

    def __getitem__(self, i: int) -> Any:
        return self.codecs[i].encode(PCM)


def encoded(codec: Codec) -> tuple[str, str, Any]:
    """What a worker makes of a codec that it was given."""
    return codec.codec_hash, codec.engine.name, codec.encode(PCM)


def continued(stream: Any) -> Any:
    """What a worker makes of a stream whose first half was pushed elsewhere."""
    return np.concatenate([stream.push(PCM[HALF:]), stream.flush()], axis=1)


def put(codec: Codec, results: Any) -> None:
    """A process of its own."""
    results.put(encoded(codec))


def check(came: tuple[str, str, Any], codec: Codec, wanted: Any) -> None:
    """Fail unless a worker's codec was this one."""
    codec_hash, engine, codes = came
    assert codec_hash == codec.codec_hash
    assert engine == codec.engine.name
    np.testing.assert_array_equal(codes, wanted)


def main(method: str, path: str, engines: list[str]) -> None:
    """Every way under one method. The executor and the DataLoader take each engine, the others the last one."""
    import torch  # not above: a child that computes on another engine needs none, and then starts sooner

    codecs = [load(path, engine=engine, threads=2) for engine in engines]
    wanted = [codec.encode(PCM) for codec in codecs]
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, context) as executor:
        for codec, codes in zip(codecs, wanted, strict=True):
            check(executor.submit(encoded, codec).result(), codec, codes)
            stream = codec.stream()
            first = stream.push(PCM[:HALF])
            rest = executor.submit(continued, stream).result()
            np.testing.assert_array_equal(np.concatenate([first, rest], axis=1), codes)
    with context.Pool(1) as pool:
        (came,) = pool.map(encoded, codecs[-1:])
        check(came, codecs[-1], wanted[-1])
    results = context.SimpleQueue()
    process = context.Process(target=put, args=(codecs[-1], results))
    process.start()
    check(results.get(), codecs[-1], wanted[-1])
    process.join()
    loader: Any = torch.utils.data.DataLoader(
        Signals(codecs),  # type: ignore[arg-type]
        batch_size=None, num_workers=1, multiprocessing_context=context,
    )  # fmt: skip
    for codes, expected in zip(loader, wanted, strict=True):
        np.testing.assert_array_equal(codes.numpy(), expected)
    for codec, codes in zip(codecs, wanted, strict=True):  # the parent goes on as it was
        np.testing.assert_array_equal(codec.encode(PCM), codes)
    print("ok")


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from Python 3.12 on
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
