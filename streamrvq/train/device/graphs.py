"""A function that is captured as a CUDA graph after a few calls, so that the host launches it as a whole.

Knows: warm-up, capture, replay, and what to do where a capture fails. Does not know: what is computed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

WARM_UP = 3  #: calls before the capture: libraries choose their algorithms, and optimisers make their states


class Captured:
    """Calls ``body``, which reads and writes tensors at fixed addresses only, on ``stream``.

    Args:
        body: computes; nothing in it may wait for the device.
        stream: None: not on a GPU, so it is only called.
        remark: is told once why there is no graph.

    Attributes:
        calls: how many there were.
    """

    def __init__(
        self, body: Callable[[], None], stream: torch.cuda.Stream | None, remark: Callable[[str], None]
    ) -> None:
        self._body, self._stream, self._remark = body, stream, remark
        self._graph: torch.cuda.CUDAGraph | None = None
        self.calls = 0
        self._wanted = stream is not None and not os.environ.get("STREAMRVQ_NO_CUDA_GRAPHS")

    @property
    def is_settled(self) -> bool:
        """Whether the calls from now on are alike."""
        return self.calls > WARM_UP

    def __call__(self) -> None:
        """Call it once. On a GPU this does not wait for the result."""
        self.calls += 1
        if self._graph is None and self._wanted and self.calls > WARM_UP:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._body()

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # "thread_local": other threads may do as they like, such as the one that makes plans.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._body()
        except Exception as error:  # of the driver, of libraries: a run goes on without
            self._wanted = False
            said = " ".join(str(error).split())[:300]
            self._remark(f"the steps run without CUDA graphs, which may be slower: {type(error).__name__}: {said}")
            torch.cuda.synchronize()
        else:
            self._graph = graph
