"""Every exception that streamrvq raises on purpose, one tree.

Knows: how an error is classed. A message always says what came, what was wanted and what to do about it.
Does not know: who raises what; no module of the package is imported here.
"""


class StreamRVQError(Exception):
    """The root: catch this to catch everything that streamrvq refuses."""


class ConfigError(StreamRVQError, ValueError):
    """A codec configuration that cannot be built (a name, a type or a combination of values)."""


class InputError(StreamRVQError, ValueError):
    """Samples or codes of a wrong type, shape, rate or range. The stream that refused them is unchanged."""


class AudioFileError(StreamRVQError, OSError):
    """An audio file that cannot be opened, is damaged, or ends before its header says."""


class WeightsError(StreamRVQError, ValueError):
    """A weights file that is corrupt, foreign, or does not fit its configuration."""


class TokensError(StreamRVQError, ValueError):
    """A token file that is corrupt, foreign, or of another codec."""


class SnapshotError(StreamRVQError, ValueError):
    """A snapshot that is corrupt, or of another codec, direction, dtype or version."""


class EngineError(StreamRVQError, RuntimeError):
    """An engine that is not to be had on this machine, or was asked for something that it cannot do."""


class StreamClosedError(StreamRVQError, RuntimeError):
    """A push, flush or snapshot on a stream that was flushed already."""


class StreamBusyError(StreamRVQError, RuntimeError):
    """Two calls at once on one stream or pool: a stream is a sequence, so their order would be undefined."""


class PoolError(StreamRVQError, RuntimeError):
    """A pool that is full, or a handle whose stream has ended."""


class SourceError(StreamRVQError, RuntimeError):
    """An audio source that yielded something that is not a block of samples."""


class DeviceError(SourceError):
    """A sound device that is not there, refuses what was asked, froze or vanished; or PortAudio itself is missing."""


class ProtocolError(StreamRVQError, ValueError):
    """A message that breaks the websocket protocol (PROTOCOL.md). ``code`` is the close code that answers it."""

    def __init__(self, message: str, code: int = 4400) -> None:
        super().__init__(message)
        self.code = code


class ServiceError(StreamRVQError, ConnectionError):
    """What a server refused, or a connection to it that could not be made or broke.

    ``code`` is the close code (PROTOCOL.md; 1006 where the connection broke without one), the HTTP status where the
    handshake was refused, or 0 where there was no connection.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code
