"""EnCodec and Mimi at the released models' sizes: what the small ones show in the tests beside this one holds there.

Knows: both originals. Does not know: anything that the sizes do not matter for; a model is dear, and so made once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from streamrvq.weights import load_weights
from tests.families.own_packages import apart, package_of
from tests.families.pairs import FAMILIES, Pair, made
from tests.families.test_official_codes import close, first_latents, same_codes
from tests.families.test_own_packages import same
from tests.reference.spread import music

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module", params=FAMILIES)
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Not kept beyond this module: they take gigabytes. If the tests are killed, later ones remove pytest's folder."""
    parent = tmp_path_factory.mktemp("full")
    yield made(request.param, "full", parent)
    shutil.rmtree(parent)


def test_the_originals_codes_and_samples(full: Pair) -> None:
    for samples in (1, 7, 1919, 1921, 2241, 5003):
        pcm = music(samples, seed=samples)
        z = full.latents(pcm)
        codes, latents = full.double.encode(pcm, tail="valid", return_latents=True)
        close(latents[: full.double.config.codebook_dim], first_latents(full, z), 1e-5)
        same_codes(codes, full.codes(z), latents, full.double)
        same_codes(full.single.encode(pcm, tail="valid"), full.codes(z), latents, full.double)
        close(full.single.decode(codes), full.decode(codes), 1e-4)


def test_the_packages_names_codes_and_samples(full: Pair) -> None:
    """Of a file alone with its names the released models' sizes are taken, with as many levels as there are."""
    package: Any = package_of(full)
    weights = load_weights(full.folder / "package.safetensors")
    assert (weights.codec_hash, weights.name, weights.trained) == (full.single.codec_hash, "package", True)
    del weights
    for samples in (1, 1921, 5003):
        found = apart(package, full.single, full.double, music(samples, seed=samples), full.name)
        same(found, "float32", samples)
