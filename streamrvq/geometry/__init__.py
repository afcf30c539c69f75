"""What follows from a codec's layers by arithmetic alone: contexts, delays, lengths, state, cost.

Knows: the kinds of layers (layers.py), quantisers (quantizer.py), plans of both (plan.py), and the one rule by which
any layer streams (builder.py). Whole numbers only. Does not know: which layers make a codec (families/), tensors'
values, or who computes a layer.

The rule. A layer with ``k_eff = (kernel − 1)·dilation + 1``, stride ``s`` and left padding ``p`` computes, at output
``u``, a window of inputs ``u·s − p … u·s − p + k_eff − 1``. Its input arrives ``d_in`` samples late. With

    context = k_eff − s
    align   = −(context + d_in − p) mod s
    d_out   = (context + align + d_in − p) / s
    history = context + align

the window of the output that leaves at position ``m = u + d_out`` ends, in positions of the arriving input, at

    u·s − p + k_eff − 1 + d_in  =  m·s − d_out·s − p + k_eff − 1 + d_in  =  m·s + s − 1 − align  ≤  (m + 1)·s − 1,

which has arrived when ``m`` is due, and begins at ``m·s − history``, which the kept inputs reach. ``align`` is the
least shift that makes the delay a whole number of outputs. Causal padding has ``p = context``, so it has no delay.

A transposed convolution has kernel 2s, stride s and padding p. At output n, with ``m = n + p``, ``τ = ⌊m/s⌋`` and
``r = m mod s``, it is

    y[n] = x[τ]·w[r] + x[τ−1]·w[r + s].

Input τ arrives at position ``τ + d_in`` and completes the outputs ``τ·s + r − p``. So ``d_out = s·d_in + p``, and one
past input is kept.

Edges of a causal layer. Its input begins with ``context`` rows of padding, at the positions ``−j``. They are zeros,
copies of row 0, or the mirror image, row j: 0 where the input is not that long (`Padding`). So in the first step a
layer fills its kept inputs from that step's own rows. The mirror image needs ``context`` + 1 of them, unless the whole
input is shorter. So the first step has at least `Plan.first` hops, or is the whole signal. From then on nothing is
late.

The last window of a strided convolution may be partial. With ``right = s − 1`` the floor formula of its output length
is ``⌈length / s⌉``, and rows ``length … ⌈length / s⌉·s − 1`` of its input are padding too: zeros, copies of the last
row, or the mirror image, row ``length − 2 − i`` at ``length + i``, and 0 where the input is not longer than
``context``. What lies beyond those rows reaches no output that there is, for the layer is causal. So no other layer
has anything to do at the end.
"""

from __future__ import annotations

from .builder import PlanBuilder
from .layers import Activation, Layer, LayerKind, Padding, Tensors
from .plan import Direction, Plan
from .quantizer import Chain, Distance, Level, Quantizer

__all__ = [
    "Activation", "Chain", "Direction", "Distance", "Layer", "LayerKind", "Level", "Padding", "Plan", "PlanBuilder",
    "Quantizer", "Tensors",
]  # fmt: skip
