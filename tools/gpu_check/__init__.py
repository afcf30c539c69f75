"""What only a GPU can show: `tools/gpu-check`.

A machine with a GPU may have no network and not all that streamrvq depends on, such as soundfile. The engines
need none of it. So the package is entered here without its ``__init__``, which brings in everything.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

if "streamrvq" not in sys.modules and importlib.util.find_spec("soundfile") is None:
    _bare = types.ModuleType("streamrvq")
    _bare.__path__ = [str(Path(__file__).parents[2] / "streamrvq")]
    sys.modules["streamrvq"] = _bare
