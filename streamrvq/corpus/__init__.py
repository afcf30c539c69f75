"""Corpora: thousands of files to shards of tokens, in a run that may be interrupted and gone on with.

    encode_corpus      the whole job; `streamrvq encode SOURCES… --shards FOLDER` is this

Knows: the public name. sources.py finds files, plan.py divides them into shards, encode.py makes rows of a file,
shard.py writes a shard, record.py keeps the run's record, local.py and cluster.py are who does the work, job.py puts
it together.
Does not know: how a codec computes, or how shards are read (tokens/).
"""

from .job import RunSummary, Watcher, encode_corpus

__all__ = ["RunSummary", "Watcher", "encode_corpus"]
