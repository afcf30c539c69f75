"""What `import streamrvq` offers, from the files where it is. It takes a third of a second to load.

Knows: which names are public. Does not know: what they do.
"""

from .codec import Codec, load
from .config import DEFAULT_CODEC, PRESETS, CodecConfig
from .errors import (
    AudioFileError,
    ConfigError,
    CorpusError,
    DeviceError,
    EngineError,
    ExtraError,
    HubError,
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
from .live.client.connect import connect
from .live.client.stream import RemoteStream
from .live.items import END, Frames, Gap
from .live.sources.file import File
from .live.sources.microphone import Microphone
from .live.stats import MicrophoneStats, TokenStats
from .live.tokens import Tokens, tokenize
from .streaming.decoder import DecoderStream
from .streaming.encoder import EncoderStream
from .streaming.pool import StreamPool
from .streaming.snapshot import Snapshot

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
    "connect",
    "load",
    "tokenize",
]
