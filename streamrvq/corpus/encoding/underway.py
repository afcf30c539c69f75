"""A step of the engine that is under way: on a thread of its own, where the engine waits for a GPU.

So whoever begins it reads files and writes codes meanwhile.

Knows: one thread, one step at a time. Does not know: what is in a step.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from ...streaming.batches import Batch


class Underway:
    """Runs one batch at a time.

    Args:
        aside: on a thread. False: `begin` runs the batch itself, for an engine that computes on the caller's core.
    """

    def __init__(self, aside: bool) -> None:
        self._aside = aside
        self._thread: ThreadPoolExecutor | None = None
        self._run: Future[None] | None = None
        self.batch: Batch | None = None  #: the one that was begun last, until `end`

    def begin(self, batch: Batch) -> None:
        """Begin a batch; there is none. Raises what its run raises, if it runs here."""
        self.batch = batch
        if self._aside:
            self._thread = self._thread or ThreadPoolExecutor(1, "streamrvq-step")
            self._run = self._thread.submit(batch.run)
        else:
            batch.run()

    @property
    def is_over(self) -> bool:
        """Whether `end` need not wait."""
        return self._run is None or self._run.done()

    def end(self) -> Batch:
        """The batch, once it has run. Raises what its run raised."""
        if self._run is not None:
            self._run.result()
        batch, self._run, self.batch = self.batch, None, None
        assert batch is not None
        return batch

    def close(self) -> None:
        """End the thread once nothing runs, whatever came of it. `begin` starts another."""
        if self._thread is not None:
            self._thread.shutdown()
        self._thread = self._run = self.batch = None
