"""A folder of audio to shards, which four tools read directly; then sequences for a language model, in bulk and live.

pip install '.[corpus]' datasets duckdb
python demos/corpus_for_a_language_model.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import datasets
import duckdb
import numpy as np
import pandas
import pyarrow.dataset
from _audio import FOLDER, clip
from _ending import leave

import streamrvq
from streamrvq.corpus import encode_corpus
from streamrvq.tokens import CoarseFirst, Delay, Flat, Parallel, Vocabulary, open_tokens


def main(out: Path) -> None:
    done = encode_corpus([FOLDER], out, workers=1)  # or: streamrvq encode demos/audio --shards OUT
    print(f"{out}: {done.shards} shards, {done.rows} rows, {done.frames} frames of {done.seconds:.1f} s")

    datasets.disable_progress_bars()
    rows = datasets.load_dataset(str(out), split="train", cache_dir=str(out / ".cache"))
    codes = {row["path"]: np.reshape(row["codes"], (row["n_quantizers"], row["frames"])) for row in rows}
    print(f"datasets: {len(rows)} rows, codes {rows.features['codes']}")
    print("DuckDB:  ", duckdb.sql(f"select count(*), sum(frames) from '{out}/*.parquet'").fetchall())
    print("pandas:  ", pandas.read_parquet(out, columns=["frames", "source_rate"]).sum()["frames"], "frames")
    print("pyarrow: ", pyarrow.dataset.dataset(out).count_rows(), "rows")

    tokens = open_tokens(out)
    signal = tokens[FOLDER / "speech_hu.flac"]
    same = sum(np.array_equal(signal.read(), codes[signal.path]) for signal in tokens)
    print(f"streamrvq.tokens: {same} of {len(tokens)} signals equal those; 1 s to 2 s: {signal.read(1.0, 2.0).shape}")

    words = Vocabulary(n_codebooks=9, codebook_size=1024, offset=32_000)  # after a text vocabulary of 32 000
    for pattern in (Flat(words), Parallel(words), Delay(words), CoarseFirst(words)):
        ids = pattern.interleave(signal.read())
        if not np.array_equal(pattern.deinterleave(ids), signal.read()):
            raise SystemExit(f"{type(pattern).__name__} does not give the codes back")
        print(f"{type(pattern).__name__:12} {list(ids.shape)}")

    # live: frames go into the pattern as soon as the stream gives them
    pcm, rate = clip("speech_hu.flac")
    stream, encoder = streamrvq.load().stream(sample_rate=rate), Delay(words, bos=True, eos=True).encoder()
    parts = [encoder.push(stream.push(pcm[at : at + 441])) for at in range(0, len(pcm), 441)]
    live = np.concatenate([*parts, encoder.push(stream.flush()), encoder.flush()], axis=1)
    bulk = Delay(words, bos=True, eos=True).interleave(signal.read())
    print(f"live against bulk: {(live != bulk).sum()} of {live.size} tokens differ")


if __name__ == "__main__":
    leave(lambda: main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="streamrvq-"))))
