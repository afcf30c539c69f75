"""EnCodec's peers: the package encodec and transformers. Neither streams, so both take the whole clip at once.

Knows: how they are loaded and called. Does not know: how they are timed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from .models import MissingPeerError, reference
from .rows import Bar, Row

LEVELS, BANDWIDTH = 8, 6.0  #: kbit/s
HOP = 320
BARS = (Bar("hop by hop", "in bulk", 1.3), Bar("in bulk", "in bulk", 2.0))


def peers(model: Any, package: Path, samples: Any, frames: Any) -> list[Row]:
    """Both, of samples ``[n]`` and codes ``[K, T]``; one that does not start has a row that says so."""
    pcm, codes = torch.from_numpy(samples)[None, None], torch.from_numpy(frames)[None]

    def row(name: str, way: Any, run: Any, note: str = "") -> Row:
        return Row(name, "PyTorch", way, "in bulk", run, note)

    rows = [
        row("transformers EncodecModel", "encode", lambda: model.encode(pcm, bandwidth=BANDWIDTH)),
        row("transformers EncodecModel", "decode", lambda: model.decode(codes[None], [None])),
    ]
    try:
        theirs = reference("encodec_package").EncodecModel.encodec_model_24khz(pretrained=False)
    except MissingPeerError as error:
        return [*rows, row("encodec", "encode", None, str(error))]
    theirs.load_state_dict(load_file(package))
    theirs.set_target_bandwidth(BANDWIDTH)
    return [
        *rows,
        row("encodec", "encode", lambda: theirs.encode(pcm)),
        row("encodec", "decode", lambda: theirs.decode([(codes, None)])),
    ]
