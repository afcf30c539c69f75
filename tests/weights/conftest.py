"""What the tests of weights share: the weights of a small codec."""

import pytest

from streamrvq.weights import Weights, seeded
from tests.support.small_codec import CONFIG


@pytest.fixture(scope="module")
def weights() -> Weights:
    return seeded(CONFIG, name="small")
