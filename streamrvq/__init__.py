"""streamrvq: live audio into residual-vector-quantised codes, hop by hop, and back; the codes of the whole signal,
exactly."""

from .codec import Codec, load
from .config import DEFAULT_CODEC, PRESETS, CodecConfig
from .errors import (
    AudioFileError,
    ConfigError,
    CorpusError,
    DeviceError,
    EngineError,
    ExtraError,
    InputError,
    PoolError,
    ProtocolError,
    ServiceError,
    SnapshotError,
    SourceError,
    StreamBusyError,
    StreamClosedError,
    StreamRVQError,
    TokensError,
    WeightsError,
)
from .live.client import connect
from .live.file import File
from .live.items import END, Frames, Gap
from .live.microphone import Microphone
from .live.remote import RemoteStream
from .live.stats import MicrophoneStats, TokenStats
from .live.tokens import Tokens, tokenize
from .pool import StreamPool
from .snapshot import Snapshot
from .stream import DecoderStream, EncoderStream

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
