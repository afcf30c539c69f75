"""What counts as samples: every block of pcm that enters the package is checked here.

Knows: which arrays are samples (float32, or int16 ÷ 32768), the limit of ±128, how to say where a bad sample was. Does
not know: rates, hops, or what the samples are for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.ma import MaskedArray

from ..errors import InputError

#: A larger sample is refused, like NaN. The limit is 42 dB above full scale: no audio reaches it, but int16 values in a
#: float array do. The native engine's polynomials are proven only for what such input can lead to.
MAX_ABS = 128.0

Pcm = npt.NDArray[np.float32]


def as_array(block: Any, what: str) -> npt.NDArray[Any]:
    """``block`` as a numpy array, without a copy if possible. ``what`` names it in error messages.

    It may be any array on the CPU, including a torch tensor.

    Raises:
        InputError: the array is on another device, some of it is masked, or it is not an array.
    """
    device = getattr(block, "device", None)
    if device is not None and getattr(device, "type", "cpu") != "cpu":
        raise InputError(f"{what} lie on device {device}; wanted an array on the CPU: pass .cpu()")
    if getattr(block, "requires_grad", False):
        raise InputError(f"{what} are a tensor that requires grad; wanted plain numbers: pass .detach()")
    if isinstance(block, MaskedArray) and block.mask.any():
        raise InputError(f"{what} are an array with masked values; wanted plain numbers: pass .filled(0), for example")
    try:
        return np.asarray(block)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{what} are a {type(block).__name__} that is no array ({error}); pass a numpy array"
        ) from None


def as_pcm(block: Any, *, ndim: int = 1, position: int = 0) -> Pcm:
    """Check samples and convert them to float32.

    Args:
        block: ``[samples]`` (``ndim`` 1) or ``[B, samples]`` (``ndim`` 2); float32 in about [−1, 1] or int16 (÷ 32768).
        position: index of the block's first sample in the stream, for error messages.

    Returns:
        float32, C-contiguous, of the same shape. The input itself, if it is like that already.

    Raises:
        InputError: another dtype or shape; or a sample that is NaN, infinite or beyond ±128. Its position is named.
    """
    array = as_array(block, "samples")
    if array.ndim != ndim:
        wanted = "[samples], one channel" if ndim == 1 else "[B, samples]"
        raise InputError(
            f"samples have shape {list(array.shape)}; wanted {wanted}: mix channels down first, e.g. pcm.mean(axis=1)"
        )
    if array.dtype == np.int16:
        return np.ascontiguousarray(array, np.float32) / np.float32(32768)
    if array.dtype != np.float32:
        raise InputError(f"samples are {array.dtype}; wanted float32 in [-1, 1] or int16: {_conversion(array)}")
    pcm = np.ascontiguousarray(array)
    # np.maximum.reduce is less code than np.max, which matters because an engine step before it has filled the caches.
    # With a NaN the maximum is NaN, which is not <= MAX_ABS.
    sizes = np.abs(pcm)
    if not np.maximum.reduce(sizes, axis=None, initial=0.0) <= MAX_ABS:
        where = np.unravel_index(int(np.argmin(sizes <= MAX_ABS)), sizes.shape)
        value = float(pcm[where])
        row = f" of row {where[0]}" if ndim == 2 else ""
        raise InputError(
            f"sample {position + int(where[-1])}{row} is {value:g}; wanted finite samples within ±{MAX_ABS:g}: "
            "scale integers to [-1, 1] and remove NaN first"
        )
    return pcm


def _conversion(array: npt.NDArray[Any]) -> str:
    """How samples of another type become float32 in [−1, 1]: integers have to be scaled, and bytes may mean three
    things. Whole numbers of Python are wide, whatever the samples were."""
    dtype = array.dtype
    if dtype == np.uint8:
        return (
            "8-bit samples are (x.astype('float32') - 128) / 128; bytes of a telephone are µ-law or A-law, which "
            "--format mulaw or alaw reads"
        )
    if dtype == np.int8:
        return "divide 8-bit samples by 128 as float32"
    if dtype.kind in "iu" and dtype.itemsize == 8:
        if array.size and array.min() >= -32768 and array.max() <= 32767:
            return "samples of 16 bits are x.astype('int16')"
        return "divide them by full scale as float32, such as 2**23 for 24 bits"
    if dtype.kind in "iu":
        return f"scale them: x.astype('float32') / {2 ** (8 * dtype.itemsize - 1)}"
    if dtype.kind == "f":
        return "convert with .astype('float32')"
    return "give numbers"


def to_int16(pcm: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Samples in [−1, 1] as int16: rounded to ``1 / 32768``, the inverse of `as_pcm`, and clipped at full scale."""
    samples: npt.NDArray[np.int16] = np.clip(np.rint(pcm * pcm.dtype.type(32768)), -32768, 32767).astype(np.int16)
    return samples
