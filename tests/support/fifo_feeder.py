"""Be a microphone: whenever someone opens the FIFO, give the samples at the pace of their rate, then silence.

    python fifo_feeder.py FIFO SAMPLES.f32 RATE BLOCK CHANNELS [AT LENGTH]

A block is written at the instant at which its last sample would have been captured, counted from the opening, so that
lateness does not add up. PortAudio opens and closes every device that it lists; each opening starts again (or, if the
next one follows too fast to be noticed here, continues). A block has to be what the reader reads at once: of a
shorter one the reader would fill up the rest with old samples. With AT and LENGTH, whole blocks, it is a device that
loses LENGTH samples at AT and says nothing of it.
"""

import os
import select
import sys
import time


def feed(fifo: str, samples: bytes, rate: int, block: int, frame: int, at: int, length: int) -> None:
    """One reader's samples, until it goes away."""
    pipe = os.open(fifo, os.O_WRONLY)  # waits for the reader
    left = select.poll()
    left.register(pipe, 0)  # POLLERR, which nobody has to ask for
    try:
        start, given = time.monotonic(), 0
        while True:
            if given == at:
                given += length
            part = samples[frame * given : frame * (given + block)]
            given += block
            while (wait := start + given / rate - time.monotonic()) > 0:
                if left.poll(1000 * wait):
                    raise BrokenPipeError
            os.write(pipe, part + bytes(frame * block - len(part)))
    except BrokenPipeError:
        os.close(pipe)


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as file:
        samples = file.read()
    rate, block, channels, at, length = [*map(int, sys.argv[3:]), -1, 0][:5]
    parent = os.getppid()
    while os.getppid() == parent:
        feed(sys.argv[1], samples, rate, block, 4 * channels, at, length)
