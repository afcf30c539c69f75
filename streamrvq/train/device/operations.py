"""Counts the floating-point operations of matrix products and convolutions while it is entered.

torch's own FlopCounterMode follows modules too, by hooks that `torch.autograd.grad` does not allow.

Knows: torch's formulas. Does not know: kernels that torch does not dispatch, such as Snake's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of what torch computes inside it.

    Attributes:
        total: the operations so far; a product and its sum are two.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            sizes = [arg for arg in args if not isinstance(arg, torch.dtype)]  # a product's, which no formula takes
            self.total += int(formula(*sizes, **(kwargs or {}), out_val=result))
        return result
