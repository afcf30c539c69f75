"""A repository of a small codec, as the Hub has them.

Knows: which files one has. Does not know: servers.
"""

from __future__ import annotations

from pathlib import Path

from streamrvq.config import CodecConfig
from streamrvq.weights import Weights, save_weights
from tests.support.hub.server import Files

NAME = "descript/dac_44khz"
CARD = b"---\nlicense: mit\ntags:\n- audio\n---\n# A codec\n"
SMALL = CodecConfig(encoder_dim=4, encoder_rates=(2, 5), decoder_dim=16, decoder_rates=(5, 2), n_codebooks=3,
                    codebook_size=16, codebook_dim=4)  # fmt: skip


def files_of(weights: Weights, folder: Path) -> Files:
    """The files of a repository, with a card, and a pickle of the same. They are made in ``folder``."""
    save_weights(weights, folder / "saved", "huggingface")
    files = {path.name: path.read_bytes() for path in (folder / "saved").iterdir()}
    return {**files, "README.md": CARD, "pytorch_model.bin": b"a pickle", ".gitattributes": b"*.bin filter=lfs\n"}
