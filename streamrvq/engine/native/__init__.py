"""The native engine: Python's side of it. README.md beside this file introduces the C++.

engine.py is the engine, library.py the shared library that it calls.
"""

from .engine import DECODE, ENCODE, LAYERS, Core, NativeEngine, NativeStates, available_cores, chosen_isa
from .library import isas

__all__ = [
    "DECODE", "ENCODE", "LAYERS", "Core", "NativeEngine", "NativeStates", "available_cores", "chosen_isa", "isas",
]  # fmt: skip
