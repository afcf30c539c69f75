"""Does it matter how audio is cut? One clip in chunks of many sizes against the whole, in float32 and in float64.

    python demos/chunked_vs_offline.py [CODEC] [SECONDS]

In float64 nothing may differ. In float32 torch rounds differently for different shapes. So a frame between two almost
equally near entries may get either of them. Such near-ties are counted; any other difference is a failure. float64 is
computed by torch: pip install '.[torch]'
"""

import argparse

from _audio import clip
from _ending import leave

import streamrvq
from streamrvq.checking.table import check_chunkings


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("codec", nargs="?", default=streamrvq.DEFAULT_CODEC)
    options.add_argument("seconds", nargs="?", type=float, default=2.0)
    given = options.parse_args()
    if not 0 < given.seconds < 1e6:
        options.error(f"argument seconds: {given.seconds}; wanted more than 0")
    pcm, rate = clip("guitar_and_drums.flac", given.seconds)  # 44.1 kHz, the codec's rate
    failed = False
    for dtype in ("float32", "float64"):
        codec = streamrvq.load(given.codec, dtype=dtype)
        print(
            f"{codec.name}{'' if codec.trained else ' (untrained)'}, {codec.engine.description}: {len(pcm) / rate:g} s"
        )
        heads = ("samples a push", "pushes", "codes", "differing", "near-ties", "latents differ by")
        print("".join(f"{head:>{len(head) + 3}}" for head in heads))
        for row in check_chunkings(codec, pcm, (441, 480, 511, 512, 513, 960, "random")):
            found = row.comparison
            failed |= not (found.equal if dtype == "float64" else row.passed)
            print(
                f"{row.chunks:>17}{row.pushes:>9}{found.frames * codec.n_codebooks:>8}{found.differing_codes:>12}"
                f"{found.near_ties:>12}{row.latent_difference:>20.1e}"
            )
    return 1 if failed else 0


if __name__ == "__main__":
    leave(main)
