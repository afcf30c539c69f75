"""The walls of the house: who may import whom, who may know torch and asyncio, what is public, how long a file is.

Read from the sources, lazy imports included: a wall with a door in a function is no wall.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamrvq
from tests.support.patience import PATIENCE

ROOT = Path(streamrvq.__file__).parent

#: Rooms by floor, the deepest first: a room imports only from floors below its own (or from itself).
FLOORS = [
    {"errors", "framing"},
    {"atomic", "extras"},
    {"config"},
    {"geometry", "audio"},
    {"timeline", "weights"},
    {"engine", "nn"},
    {"lockstep", "snapshot", "compare", "batches"},
    {"stream", "tokens"},
    {"codec", "journal", "pool"},
    {"corpus"},
    {"checking", "bench", "live", "train"},
    {"__init__"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

#: Where torch may be imported at all; elsewhere not even inside a function.
KNOWS_TORCH = {"nn", "engine/torch.py", "tokens/frameworks.py", "weights/descript.py", "bench", "train"}
#: Where asyncio may be; and the files there that must do without it: values, rules, arithmetic.
KNOWS_ASYNCIO = {"live", "cli"}
SANS_IO = {
    "access", "items", "keep", "lanes", "logs", "messages", "metrics", "opening", "outbox", "protocol", "reckoning",
    "segments", "serving", "sessions", "settings", "site", "stats", "warmup", "wire",
}  # fmt: skip
#: Where the websocket library may be.
KNOWS_WEBSOCKETS = {f"live/{name}.py" for name in ("server", "connection", "gate", "goodbye", "link", "web")}

PUBLIC = {
    "AudioFileError", "Codec", "CodecConfig", "ConfigError", "CorpusError", "DEFAULT_CODEC", "DecoderStream",
    "DeviceError", "END", "EncoderStream", "EngineError", "ExtraError", "File", "Frames", "Gap", "InputError",
    "Microphone", "MicrophoneStats",
    "PRESETS", "PoolError", "ProtocolError", "RemoteStream", "ServiceError", "Snapshot", "SnapshotError",
    "SourceError", "StreamBusyError", "StreamClosedError", "StreamPool", "StreamRVQError", "TokenStats", "Tokens",
    "TokensError", "WeightsError", "__version__", "connect", "load", "tokenize",
}  # fmt: skip


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, absolute, and whether only for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    package = ["streamrvq", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{start}.{alias.name}", id(node) in typing_only


def test_imports_point_one_way() -> None:
    for path in files():
        here = room(path)
        assert here in FLOOR, f"{path} is in no room: give {here} a floor"
        for name, typing_only in imports(path):
            parts = name.split(".")
            if parts[0] != "streamrvq" or typing_only or len(parts) == 1:
                continue
            there = parts[1] if parts[1] in FLOOR else "__init__"
            assert there == here or FLOOR[there] < FLOOR[here], (
                f"{path.relative_to(ROOT)} imports {name}, which is above"
            )


@pytest.mark.parametrize(
    "modules, allowed",
    [
        (("torch", "torchaudio", "transformers"), KNOWS_TORCH),
        (("asyncio",), KNOWS_ASYNCIO),
        (("websockets",), KNOWS_WEBSOCKETS),
        (("sounddevice",), {"live/portaudio.py"}),
        (("pyarrow", "ray"), {"extras.py"}),  # asked for there, by name, when they are used
        (("pickle",), {"weights/descript.py", "train/checkpoint.py"}),
    ],
)
def test_who_knows_what(modules: tuple[str, ...], allowed: set[str]) -> None:
    for path in files():
        inside = str(path.relative_to(ROOT))
        if room(path) in allowed or inside in allowed:
            continue
        for name, _ in imports(path):
            assert name.split(".")[0] not in modules, f"{inside} imports {name}; only {sorted(allowed)} may"


def test_the_rules_of_live_know_no_asyncio() -> None:
    shell = {"worker", "connection", "server", "client", "link", "tokens", "file"}
    for name in SANS_IO:
        for imported, typing_only in imports(ROOT / "live" / f"{name}.py"):
            parts = imported.split(".")
            assert parts[0] not in ("asyncio", "threading", "socket", "websockets"), f"{name} imports {imported}"
            assert typing_only or parts[:2] != ["streamrvq", "live"] or parts[2] not in shell, f"{name}: {imported}"


def test_nobody_imports_train() -> None:
    for path in files():
        if room(path) not in ("train", "cli"):
            assert not [name for name, _ in imports(path) if name.startswith("streamrvq.train")], path


def test_importing_the_package_loads_no_torch_and_asks_no_sound_device() -> None:
    code = "import sys, streamrvq, streamrvq.cli.app as a; assert not {'torch', 'sounddevice'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=PATIENCE)


def test_importing_the_package_loads_no_websockets() -> None:
    code = "import sys, streamrvq; assert 'websockets' not in sys.modules, 'websockets was loaded'"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=PATIENCE)


def test_loading_weights_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from streamrvq.weights import *; from streamrvq import PRESETS;"
        f"save_weights(seeded(PRESETS['causal-44khz']), r'{tmp_path / 'w.safetensors'}');"
        f"load_weights(r'{tmp_path / 'w.safetensors'}'); assert 'torch' not in sys.modules, 'torch was loaded'"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=PATIENCE)


def test_public_names() -> None:
    assert set(streamrvq.__all__) == PUBLIC
    assert [name for name in PUBLIC if not hasattr(streamrvq, name)] == []


def test_files_are_small_and_say_what_they_know() -> None:
    for path in files():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, f"{path} is long: one idea a file"
        assert ast.get_docstring(ast.parse(text)), f"{path} has no header"
