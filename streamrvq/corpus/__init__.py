"""Corpora: thousands of files to shards of tokens, in a run that may be interrupted and resumed.

    encode_corpus      the whole job; `streamrvq encode SOURCES… --shards FOLDER` calls it
    Progress, RunPlan, Failed      what its callbacks are given
    RunSummary, PassedOver         what it returns

Knows: the public names. sources.py finds files, plan.py divides them into shards, encoding/ turns files into codes,
rows.py cuts these into rows, shard.py writes a shard, record.py keeps the run's record. local.py and cluster.py run the
workers, and job.py puts it all together.
Does not know: how a codec computes, or how shards are read (tokens/).
"""

from ..audio.find import PassedOver
from .job import RunPlan, RunSummary, encode_corpus
from .progress import OnProgress, Progress
from .shard import Failed

__all__ = ["Failed", "OnProgress", "PassedOver", "Progress", "RunPlan", "RunSummary", "encode_corpus"]
