"""The native engine: Python's side of it. README.md beside this file introduces the C++.

engine.py keeps the contract, core.py hands over plans and arrays, library.py is the shared library that it calls.
"""

from .core import Core, Program
from .engine import NativeEngine, NativeStates, chosen_isa
from .library import isas

__all__ = ["Core", "NativeEngine", "NativeStates", "Program", "chosen_isa", "isas"]
