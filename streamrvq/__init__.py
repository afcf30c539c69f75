"""streamrvq: live audio into residual-vector-quantised codes, hop by hop, and back; the codes of the whole signal,
exactly."""

# ruff: noqa: F403
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import public
    from .public import *

    __all__ = ["__version__"]
    __all__ += public.__all__

__version__ = "0.2.0.dev0"

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load everything when the first of it is asked for: the command line has to be ready for Ctrl-C before."""
        import importlib

        if not name.startswith("__") or name == "__all__":
            public = importlib.import_module(".public", __name__)
            if hasattr(public, "__all__"):  # else it is loading, and asks for submodules
                globals().update({each: getattr(public, each) for each in public.__all__})
                globals()["__all__"] = ["__version__", *public.__all__]
        if name not in globals():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
