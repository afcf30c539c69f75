"""What counts as samples: the one gate through which every block of pcm enters.

Knows: which arrays are samples (float32, or int16 ÷ 32768), the bound of ±128, how to say where a bad one stood.
Does not know: rates, hops, or what the samples are for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError

#: Beyond this a sample is refused like NaN. It is 42 dB above full scale: nobody's audio, but somebody's int16 values
#: in a float array; and the native engine's polynomials are proven only for what can follow from such input.
MAX_ABS = 128.0

Pcm = npt.NDArray[np.float32]

#: Raw samples by name: what pipes and the wire carry, little-endian, one channel.
FORMATS: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}


def as_array(block: Any, what: str) -> npt.NDArray[Any]:
    """``block`` as a numpy array, without a copy where it can be; ``what`` names it in errors.

    Any array on the CPU will do, a torch tensor included.

    Raises:
        InputError: for an array on another device, or something that is no array.
    """
    device = getattr(block, "device", None)
    if device is not None and getattr(device, "type", "cpu") != "cpu":
        raise InputError(f"{what} lie on device {device}; wanted an array on the CPU: pass .cpu()")
    if getattr(block, "requires_grad", False):
        raise InputError(f"{what} are a tensor that requires grad; wanted plain numbers: pass .detach()")
    try:
        return np.asarray(block)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{what} are a {type(block).__name__} that is no array ({error}); pass a numpy array"
        ) from None


def as_pcm(block: Any, *, ndim: int = 1, position: int = 0) -> Pcm:
    """Check samples and bring them to float32.

    Args:
        block: ``[samples]`` (``ndim`` 1) or ``[B, samples]`` (``ndim`` 2); float32 in about [−1, 1] or int16 (÷ 32768).
        position: index in the stream of the block's first sample, for the error messages.

    Returns:
        float32, C-contiguous, of the same shape; the input itself where it is so already.

    Raises:
        InputError: another dtype or shape, or a sample that is NaN, infinite or beyond ±128, whose position is named.
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
        raise InputError(
            f"samples are {array.dtype}; wanted float32 in [-1, 1] or int16: convert with .astype('float32')"
        )
    pcm = np.ascontiguousarray(array)
    # The ufunc's own reduction: a live stream's block finds the caches filled by the step before, and less code is less
    # to load. NaN is the maximum of whatever has one, and no more than nothing.
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


def to_int16(pcm: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Samples in [−1, 1] as int16: rounded to ``1 / 32768``, the inverse of `as_pcm`, and clipped beyond full scale."""
    samples: npt.NDArray[np.int16] = np.clip(np.rint(pcm * pcm.dtype.type(32768)), -32768, 32767).astype(np.int16)
    return samples
