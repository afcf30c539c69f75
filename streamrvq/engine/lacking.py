"""What an engine lacks for a codec. The torch engine computes all plans; what the others have is written down here.

Knows: what plans consist of, in words. Does not know: how engines compute.
"""

from __future__ import annotations

import dataclasses

from ..config import Config
from ..errors import EngineError
from ..families import decoder_plan, encoder_plan
from ..geometry import Activation, Distance, LayerKind, Padding, Plan

_KINDS = {LayerKind.LSTM: "LSTMs", LayerKind.NORM: "layer norms", LayerKind.ATTENTION: "attention"}
_PADDINGS = {Padding.REPLICATE: "padding by copies", Padding.REFLECT: "padding by mirror images"}


@dataclasses.dataclass(frozen=True)
class Abilities:
    """What an engine computes besides DAC's layers: convolutions, residual units, levels with projections, tanh.

    Attributes:
        kinds: of layers.
        activations: in front of convolutions.
        others: what else, in the words of `parts`.
    """

    kinds: frozenset[LayerKind] = frozenset({
        LayerKind.CONV, LayerKind.TRANSPOSED_CONV, LayerKind.HOLD, LayerKind.JOIN,
    })  # fmt: skip
    activations: frozenset[Activation] = frozenset({Activation.NONE, Activation.SNAKE})
    others: frozenset[str] = frozenset()

    def lacking(self, *plans: Plan) -> tuple[str, ...]:
        """What the plans need and this does not have, in words, each once."""
        found: dict[str, None] = {}
        for plan in plans:
            for layer in plan.layers:
                if layer.kind not in self.kinds:
                    found[_KINDS.get(layer.kind, f"layers of kind {layer.kind!r}")] = None
                if layer.activation not in self.activations:
                    found[_name(layer.activation)] = None
            found |= dict.fromkeys(part for part in parts(plan) if part not in self.others)
        return tuple(found)


#: What the engines of our own kernels have. A new ability is added here with the code that has it.
NATIVE = Abilities(
    kinds=Abilities().kinds | {LayerKind.LSTM, LayerKind.NORM, LayerKind.ATTENTION},
    activations=Abilities().activations | {Activation.ELU, Activation.GELU},
    others=frozenset({
        "padding by copies", "padding by mirror images", "partial last windows", "convolutional shortcuts",
        "Euclidean codebooks", "decoders without tanh", "convolutions without a bias", "scaled branches",
        "split quantisers", "depthwise transposed convolutions",
    }),
)  # fmt: skip
#: The cuda engine has the native engine's bits, in all that the native engine has.
CUDA = NATIVE

#: The most hops of a first step that every engine takes.
MOST_FIRST = 32


def parts(plan: Plan) -> list[str]:
    """What a plan has that DAC's has not, kinds and activations aside, in words."""
    found = []
    for layer in plan.layers:
        convolves = layer.kind in (LayerKind.CONV, LayerKind.TRANSPOSED_CONV)
        depthwise = layer.kind == LayerKind.TRANSPOSED_CONV and 1 < layer.groups == layer.cin == layer.cout
        found += [
            (
                _PADDINGS.get(layer.pad, ""),
                layer.kind == LayerKind.CONV and layer.history and layer.pad != Padding.ZERO,
            ),
            ("partial last windows", plan.causal and layer.fills_up),
            ("grouped convolutions", layer.groups > 1 and not depthwise),
            ("depthwise transposed convolutions", depthwise),
            ("convolutions without a bias", convolves and layer.tensors is not None and layer.tensors.bias is None),
            ("convolutional shortcuts", layer.kind == LayerKind.JOIN and layer.tensors is not None),
            ("scaled branches", layer.scale is not None),
        ]
    quantizer = plan.quantizer
    if quantizer.levels:  # else it is bare layers
        found += [
            ("Euclidean codebooks", quantizer.distance == Distance.EUCLIDEAN),
            ("split quantisers", len(quantizer.chains) > 1),
            ("decoders without tanh", plan.direction == "decode" and not plan.tanh),
            ("long first steps", plan.first > MOST_FIRST),
        ]
    return list(dict.fromkeys(name for name, there in found if there))


def _name(activation: Activation) -> str:
    return activation.name if isinstance(activation, Activation) else f"activation {activation!r}"


def check_abilities(config: Config, name: str, abilities: Abilities) -> None:
    """Refuse a codec that an engine cannot compute, before anything is made.

    Raises:
        EngineError: the engine called ``name`` lacks something.
    """
    if missing := abilities.lacking(encoder_plan(config), decoder_plan(config)):
        raise EngineError(
            f"the {name} engine lacks what this codec needs: {', '.join(missing)}; use engine='torch', or 'auto'"
        )
