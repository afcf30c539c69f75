"""streamrvq: live audio into residual-vector-quantised codes, hop by hop, and back; the codes of the whole signal,
exactly."""

# ruff: noqa: F403, F405
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .public import *

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_CODEC",
    "END",
    "PRESETS",
    "AudioFileError",
    "Codec",
    "CodecConfig",
    "ConfigError",
    "CorpusError",
    "DecoderStream",
    "DeviceError",
    "EncoderStream",
    "EngineError",
    "ExtraError",
    "File",
    "Frames",
    "Gap",
    "HubError",
    "InputError",
    "Microphone",
    "MicrophoneStats",
    "PoolError",
    "ProtocolError",
    "RemoteStream",
    "ServiceError",
    "Snapshot",
    "SnapshotError",
    "SourceError",
    "StreamBusyError",
    "StreamClosedError",
    "StreamPool",
    "StreamRVQError",
    "TokenStats",
    "Tokens",
    "TokensError",
    "WeightsError",
    "__version__",
    "connect",
    "load",
    "tokenize",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load everything when the first of it is asked for: the command line has to be ready for Ctrl-C before."""
        import importlib

        if not name.startswith("__"):
            public = importlib.import_module(".public", __name__)
            names = getattr(public, "__all__", ())  # none while it is loading, which asks for submodules
            globals().update({each: getattr(public, each) for each in names})
        if name not in globals():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
