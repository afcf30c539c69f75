"""Single layers and random tensors for them, to compare engines on.

Knows: the plan builder of the DAC family. Does not know: engines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrvq.families import dac
from streamrvq.geometry import LayerKind, Plan
from tests.support.contract import NO_QUANTIZER, builder, minute


def one_layer(kind: str, kernel: int, stride: int, dilation: int, width: int, causal: bool) -> Plan:
    build = builder(minute(causal=causal), width, stride if kind == "conv" else 1)
    if kind == "unit":
        dac.residual_unit(build, "l", dilation)
    elif kind == "transposed_conv":
        dac.transposed_conv(build, "l", width + 3, stride, snake="s")
    else:
        dac.conv(build, "l", width + 3, kernel, stride=stride, dilation=dilation, snake="s")
    return build.plan("encode", NO_QUANTIZER)


def tensors_of(plan: Plan, halves: bool) -> dict[str, Any]:
    rng, tensors = np.random.default_rng(5), {}
    for layer in plan.layers:
        names = layer.tensors
        if names is None:
            continue
        if names.activation is not None:
            tensors[names.activation] = rng.uniform(0.2, 3, (1, layer.cin, 1)).astype(np.float32)
        transposed = layer.kind == LayerKind.TRANSPOSED_CONV
        ends = (layer.cin, layer.cout) if transposed else (layer.cout, layer.cin)
        weight = rng.standard_normal((*ends, layer.kernel)).astype(np.float16 if halves else np.float32)
        tensors[names.weight] = weight.astype(np.float32)
        tensors[names.bias] = rng.standard_normal(layer.cout).astype(np.float32)
    return tensors
