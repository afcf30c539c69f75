"""The shared library of the native engine: where it lies, whether it is the right one, and its C functions.

Knows: ctypes, and the declarations of api/api.hpp and plan/spec.hpp. Does not know: codecs, plans, steps (core.py).
The library has plain C functions, so that one build serves every Python. ctypes lets go of the GIL during a call.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_int64, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...errors import EngineError

HERE = Path(__file__).parent
FOLDERS = ("api", "plan", "run", "kernels")  #: of the C++ that the library is built from
VERSION = 8  #: of the interface, `srvq_version`

#: Of a `geometry.Layer`, by their names there.
LAYER_FIELDS = (
    "kind", "cin", "cout", "kernel", "stride", "dilation", "padding", "right", "delay_out", "history", "rate_in",
    "rate_out", "activation", "pad", "fills_up", "groups", "heads", "window",
)  # fmt: skip
#: Of a `geometry.Level`, by their names there.
LEVEL_FIELDS = ("in_weight", "in_bias", "codebook", "out_weight", "out_bias")


class LayerSpec(ctypes.Structure):
    """``srvq::LayerSpec``: a layer's integers, and where its weights lie."""

    _fields_ = (
        *[(name, c_int64) for name in LAYER_FIELDS],
        *[(name, c_void_p) for name in ("weight", "bias", "alpha", "recurrent", "scale", "frequencies")],
        ("epsilon", c_double),
    )


class LevelSpec(ctypes.Structure):
    """``srvq::LevelSpec``: where the weights of a level of the quantiser lie."""

    _fields_ = tuple((name, c_void_p) for name in LEVEL_FIELDS)


class ChainSpec(ctypes.Structure):
    """``srvq::ChainSpec``: a chain's levels, and where its projections lie."""

    _fields_ = (("levels", c_int64), ("in_weight", c_void_p), ("out_weight", c_void_p))


class QuantizerSpec(ctypes.Structure):
    """``srvq::QuantizerSpec``: the levels, and their sizes."""

    _fields_ = (
        ("levels", POINTER(LevelSpec)),
        ("chains", POINTER(ChainSpec)),
        ("chain_count", c_int64),
        *[(name, c_int64) for name in ("count", "size", "dim", "latent", "euclidean")],
    )


class PlanSpec(ctypes.Structure):
    """``srvq::PlanSpec``: layers and a quantiser, which may be null."""

    _fields_ = (
        ("layers", POINTER(LayerSpec)),
        *[(name, c_int64) for name in ("count", "masked", "first", "tanh", "half_from")],
        ("quantizer", POINTER(QuantizerSpec)),
    )  # fmt: skip


class ResamplerSpec(ctypes.Structure):
    """``srvq::ResamplerSpec``: a resampler's whole numbers, and where its coefficients lie."""

    _fields_ = (
        *[(name, c_void_p) for name in ("kernels", "rows", "pieces")],
        *[(name, c_int64) for name in ("period", "held", "up", "down", "half", "taps", "pad", "reach")],
        *[(name, c_int64) for name in ("pieces_per_unit", "inverse")],
        *[(name, c_double) for name in ("gain", "unit", "most")],
    )  # fmt: skip


_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "srvq_version": (c_int64,),
    "srvq_sources": (c_char_p,),
    "srvq_error": (c_char_p,),
    "srvq_isas": (c_char_p,),
    "srvq_layer_kinds": (c_char_p,),
    "srvq_activations": (c_char_p,),
    "srvq_trim": (None,),
    "srvq_engine_new": (c_void_p, c_char_p, c_int64),
    "srvq_engine_free": (None, c_void_p),
    "srvq_set_plan": (c_int, c_void_p, c_int64, POINTER(PlanSpec)),
    "srvq_weight_bytes": (c_int64, c_void_p, c_int64, c_int64),
    "srvq_step": (
        c_int, c_void_p, c_int64, c_int64, c_int64, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
        c_void_p, c_int64, c_void_p, c_void_p,
    ),
    "srvq_resampler_prepare": (c_int, c_char_p, POINTER(ResamplerSpec)),
    "srvq_resample": (c_int, c_void_p, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p, c_void_p),
    "srvq_profile": (c_int64, c_void_p, c_int64, POINTER(c_double), c_int64),
    "srvq_least_part": (c_int64, c_int64, c_int64),
    "srvq_machine": (c_int, c_void_p, c_double, POINTER(c_double), POINTER(c_double), POINTER(c_double)),
    "srvq_tanh": (c_int, c_void_p, c_void_p, c_void_p, c_int64),
    "srvq_activate": (c_int, c_void_p, c_int64, POINTER(c_float), c_void_p, c_void_p, c_int64),
}  # fmt: skip


def sources_hash() -> str | None:
    """The hash of the C++ beside the library, as CMakeLists.txt computes it; None where the sources are missing."""
    files = (path for folder in FOLDERS for path in (HERE / folder).rglob("*") if path.suffix in (".cpp", ".hpp"))
    sources = {path.relative_to(HERE).as_posix(): path.read_bytes() for path in files}
    if not sources:
        return None
    text = "".join(f"{hashlib.sha256(sources[name]).hexdigest()}  {name}\n" for name in sorted(sources))
    return hashlib.sha256(text.encode()).hexdigest()


_REMEDY = "install streamrvq again, or build it again and copy _native.so beside its sources"


@lru_cache(maxsize=1)
def load_library() -> ctypes.CDLL:
    """The library, loaded once.

    Raises:
        EngineError: it was not built, cannot be loaded here, or was built from other sources than those beside it.
    """
    path = HERE / "_native.so"
    if not path.exists():
        raise EngineError(
            "the native engine was not built; install a C++20 compiler (Debian: g++), then streamrvq again"
        )
    try:
        if not _is_whole(path):
            raise EngineError(f"{path} was written in part only; {_REMEDY}")
        loaded = ctypes.CDLL(str(path))
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
        version = loaded.srvq_version()
    except (OSError, AttributeError) as error:
        raise EngineError(f"the native engine cannot be loaded ({error}); {_REMEDY}") from None
    wanted, built = sources_hash(), loaded.srvq_sources().decode()
    if version != VERSION or (wanted is not None and built != wanted):
        raise EngineError(f"{path} was built from other sources than those beside it; {_REMEDY}")
    return loaded


def _is_whole(path: Path) -> bool:
    """Whether a file has all bytes that it says. One that was cut off is mapped all the same, and the system ends the
    process where it reads past the end. Only 64-bit ELF, which is Linux's format, is looked into."""
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:5] != b"\x7fELF\x02":
            return True  # or what the system refuses by itself
        order = "<" if head[5] == 1 else ">"
        (at,), (size, count) = struct.unpack_from(f"{order}Q", head, 32), struct.unpack_from(f"{order}2H", head, 54)
        whole = path.stat().st_size
        if size < 40 or at + size * count > whole:
            return False
        file.seek(at)
        table = file.read(size * count)
    segments = (struct.unpack_from(f"{order}8xQ16xQ", table, size * i) for i in range(count))  # offset, bytes
    return max((begin + length for begin, length in segments), default=0) <= whole


def isas() -> list[str]:
    """Instruction sets of this build that this machine has, best first. Raises `EngineError` like `load_library`."""
    return _names("srvq_isas")


def layer_kinds() -> list[str]:
    """The library's kinds of layers, in the order of their numbers. Raises `EngineError` like `load_library`."""
    return _names("srvq_layer_kinds")


def activations() -> list[str]:
    """The library's activations, in the order of their numbers. Raises `EngineError` like `load_library`."""
    return _names("srvq_activations")


def _names(function: str) -> list[str]:
    names: list[str] = getattr(load_library(), function)().decode().split(",")
    return names


def last_error() -> str:
    """What the last failed call of this thread complained of."""
    text: str = load_library().srvq_error().decode()
    return text
