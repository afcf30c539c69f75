"""float32 on a GPU means float32, whatever the environment asks torch for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import torch
from streamrvq.train.device.gpu import set_for_gpu
set_for_gpu()
assert torch.backends.cuda.matmul.fp32_precision != "tf32"
assert not torch._C._get_cublas_allow_tf32()  # which every product of matrices asks, and which may raise
assert torch.backends.cudnn.conv.fp32_precision == "ieee"
"""


@pytest.mark.parametrize("asked", ["0", "1"])
def test_an_environment_that_wants_tf32_does_not_get_it(asked: str) -> None:
    environment = os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": asked}
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], env=environment, check=True)
