"""The walls of the house: who may import whom, who may know torch and asyncio, what is public, how large things are.

Read from the sources. Imports inside functions and imports for type checkers count like any other. One test asks what
runs without asyncio; there, imports for type checkers do not count.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import streamrvq
from tests.support.imports import arrows, circles, imports, modules, reached
from tests.support.paths import ROOT as CHECKOUT
from tests.support.patience import PATIENCE

ROOT = Path(streamrvq.__file__).parent

#: Rooms by floor, the lowest first. A room imports only from lower floors or from itself.
FLOORS = [
    {"errors"},
    {"system"},
    {"config"},
    {"geometry", "audio"},
    {"families"},
    {"weights"},
    {"engine", "nn"},
    {"resampling"},
    {"streaming"},
    {"tokens"},
    {"codec"},
    {"corpus", "live", "live/protocol"},
    {"live/sources", "live/server", "live/client"},
    {"live/playback"},
    {"checking"},
    {"bench", "train"},
    {"public"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

#: What is made of torch: importing it imports torch. Nothing else does.
OF_TORCH = {
    "nn", "engine/torch.py", "engine/torch_edges.py", "engine/torch_layers.py", "engine/torch_quantizer.py",
    "engine/torch_states.py", "engine/torch_threads.py", "train",
}  # fmt: skip
#: Where torch may be imported at all; elsewhere not even inside a function.
KNOWS_TORCH = {*OF_TORCH, "tokens/frameworks.py", "bench"}
#: Where it is asked for by name (system/optional.py), with a sentence for where it is missing.
ASKS_FOR_TORCH = {
    "nn/__init__.py", "engine/__init__.py", "weights/descript.py", "weights/torchfile.py", "tokens/frameworks.py",
    "bench/official.py", "cli/train.py",
}  # fmt: skip
#: Where asyncio may be.
KNOWS_ASYNCIO = {"live", "live/sources", "live/playback", "live/server", "live/client", "cli"}
#: What does input and output, and runs at the same time as something else.
IO = {"asyncio", "threading", "socket", "websockets"}
#: The files of live that must do without it, and without any module that does it: values, rules, arithmetic.
SANS_IO = {
    "live": {"items", "latency", "segments", "stats"},
    "live/server": {
        "access", "handshake", "logs", "metered", "metrics", "modes", "outbox", "sessions", "settings", "static",
        "stream",
    },
    "live/server/scheduling": {"jobs", "lane", "pace", "results", "shares", "warmup"},
    "live/server/admission": {"addresses", "descriptors", "reply", "waiting"},
    "live/client": {"markers", "resend", "timing"},
    "live/sources": {"clock", "devices", "ring"},
    "live/protocol": {path.stem for path in (ROOT / "live" / "protocol").glob("*.py")},
}  # fmt: skip
#: Where threads may be. The lock in streaming/stream.py refuses a second thread, and waits for none. The one in
#: engine/cuda/driver.py is held while cuda.core is imported, which two threads must not do at once.
KNOWS_THREADS = {
    "engine/cuda/driver.py",
    "system/interrupts.py",
    "system/unraised.py",
    "streaming/stream.py",
    "corpus/processes.py",
    "system/children.py",
    "live/sources/portaudio.py",
    "train/steps/ahead.py",
    "cli/train.py",
}
LOCK = "streamrvq.streaming.stream"
#: Where the websocket library may be.
KNOWS_WEBSOCKETS = {
    *(f"live/server/{name}.py" for name in ("server", "connection", "transport", "websockets", "closing")),
    *(f"live/server/admission/{name}.py" for name in ("admission", "request")),
    *(f"live/client/{name}.py" for name in ("connection", "endpoint", "unreachable")),
}
#: Where sockets may be that are not yet a websocket.
KNOWS_SOCKETS = {f"live/server/admission/{name}.py" for name in ("arrival", "listener", "listening")}
#: Files of source in a folder at most, and lines in each of them.
MOST_FILES, MOST_LINES = 22, 300
#: What counts as source. Style sheets do not: they are lists, and have no ideas to divide.
SOURCES = {".py", ".cpp", ".hpp", ".js", ".mjs"}

PUBLIC = {
    "AudioFileError", "Codec", "CodecConfig", "ConfigError", "CorpusError", "DEFAULT_CODEC", "DecoderStream",
    "DeviceError", "END", "EncoderStream", "EngineError", "ExtraError", "File", "Frames", "Gap", "HubError",
    "InputError", "Microphone", "MicrophoneStats",
    "PRESETS", "PoolError", "ProtocolError", "RemoteStream", "ServiceError", "Snapshot", "SnapshotError",
    "SourceError", "StreamBusyError", "StreamClosedError", "StreamPool", "StreamRVQError", "TokenStats", "Tokens",
    "TokensError", "WeightsError", "__version__", "connect", "load", "tokenize",
}  # fmt: skip


def room(path: Path) -> str:
    """A file's room: a top-level folder or module; within ``live`` its sub-folders are rooms of their own."""
    inside = path.relative_to(ROOT)
    if inside.parts[0] == "live" and len(inside.parts) > 2:
        return "/".join(inside.parts[:2])
    return inside.parts[0].removesuffix(".py")


def inside(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sources() -> list[Path]:
    """Every file of source of the package, and of the checkout around it."""
    roots = (ROOT, *(CHECKOUT / name for name in ("tests", "tools", "demos")))
    return sorted(path for root in roots for path in root.rglob("*") if path.suffix in SOURCES)


def allowed(path: Path, places: set[str]) -> bool:
    return room(path) in places or inside(path) in places


def test_imports_point_one_way() -> None:
    known, upward = modules(ROOT), []
    for name, targets in arrows(ROOT).items():
        here = room(known[name])
        assert here in FLOOR, f"{known[name]} is in no room: give {here} a floor"
        for target in targets:
            there = room(known[target])
            if there != here and FLOOR[there] >= FLOOR[here]:
                upward.append(f"{name} imports {target}")
    assert upward == []


def test_no_import_goes_in_a_circle() -> None:
    assert circles(arrows(ROOT)) == []


def test_no_room_is_crowded() -> None:
    folders = Counter(path.parent for path in sources())
    crowded = {str(folder): count for folder, count in folders.items() if count > MOST_FILES}
    assert crowded == {}


def test_tests_mirror_the_package() -> None:
    others = {"data", "docs", "reference", "support", "tools"}
    strange = []
    for path in (CHECKOUT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(CHECKOUT / "tests")
        if folder.parts and folder.parts[0] not in others and not (ROOT / folder).is_dir():
            strange.append(str(folder))
    assert strange == []


@pytest.mark.parametrize(
    "libraries, places",
    [
        (("torch", "torchaudio", "transformers"), KNOWS_TORCH),
        (("asyncio",), KNOWS_ASYNCIO),
        (("websockets",), KNOWS_WEBSOCKETS),
        (("threading",), KNOWS_THREADS),
        (("socket",), {"corpus/cluster.py", "live/server/transport.py", "system/tcp.py", *KNOWS_SOCKETS}),
        (("sounddevice",), {"live/sources/portaudio.py"}),
        (("pyarrow", "ray"), set()),  # asked for by name in system/optional.py when they are used
        (("pickle",), set()),  # torch's own reader takes tensors and plain values only
    ],
)
def test_who_knows_what(libraries: tuple[str, ...], places: set[str]) -> None:
    strange = [
        f"{module} imports {name}"
        for module, names in imports(ROOT).items()
        for name in names
        if name.split(".")[0] in libraries and not allowed(modules(ROOT)[module], places)
    ]
    assert strange == []


def test_torch_is_imported_only_by_what_is_made_of_it() -> None:
    """Importing any other module reaches no torch. A package is imported with its parts."""
    known, names, graph = modules(ROOT), imports(ROOT, True, True), {}
    for module, there in arrows(ROOT, True, True).items():
        parts = [module, *there]
        packages = {part.rsplit(".", n)[0] for part in parts for n in range(1, part.count("."))}
        graph[module] = there | (packages & set(known))
    reaching = {
        module for module in graph
        if any(name.split(".")[0] == "torch" for other in reached(graph, module) for name in names[other])
    }  # fmt: skip
    assert {inside(known[module]) for module in reaching if not allowed(known[module], OF_TORCH)} == set()
    assert "streamrvq.nn" in reaching


def test_who_asks_for_torch() -> None:
    asks = {
        inside(path) for path in modules(ROOT).values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("need", "importing")
        and ast.unparse(node).startswith(("need('torch'", "importing('torch'"))
    }  # fmt: skip
    assert asks == ASKS_FOR_TORCH


@pytest.mark.parametrize("path", sorted(f"{folder}/{name}" for folder, names in SANS_IO.items() for name in names))
def test_rules_reach_no_asyncio(path: str) -> None:
    """Neither by themselves nor through what they import, however far away."""
    graph, names = arrows(ROOT, at_run_time=True), imports(ROOT, at_run_time=True)
    module = ".".join(("streamrvq", *path.split("/"))).removesuffix(".__init__")
    assert module in graph
    reaching = {
        other: known for other in reached(graph, module) - {LOCK}
        if (known := {name.split(".")[0] for name in names[other]} & IO)
    }  # fmt: skip
    assert reaching == {}


def test_nobody_imports_train() -> None:
    for module, names in imports(ROOT).items():
        if room(modules(ROOT)[module]) not in ("train", "cli"):
            assert [name for name in names if name.startswith("streamrvq.train")] == [], module


@cache
def loaded(module: str, then: str = "pass") -> set[str]:
    """The modules that a new process has when it has imported one, and done something then."""
    words = [sys.executable, "-W", "error", "-c", f"import sys, {module}; {then}; print(*sys.modules)"]
    done = subprocess.run(words, check=True, timeout=PATIENCE, stdout=subprocess.PIPE, text=True)
    names = set(done.stdout.split())
    assert module in names
    return names


@pytest.mark.parametrize("library", ["torch", "sounddevice", "websockets", "huggingface_hub"])
def test_importing_the_package_loads_no(library: str) -> None:
    assert library not in loaded("streamrvq")


@pytest.mark.parametrize("library", ["torch", "sounddevice", "huggingface_hub"])
def test_importing_all_commands_loads_no(library: str) -> None:
    known = loaded("streamrvq.cli.app", "all(streamrvq.cli.app.commands.commands.values())")
    assert {"streamrvq.cli.train", "streamrvq.cli.hub.fetch"} <= known
    assert library not in known


def test_a_command_imports_no_other() -> None:
    listed = loaded("streamrvq.cli.app", "streamrvq.cli.app.commands.list_commands(None)")
    assert {name for name in listed if name.startswith("streamrvq.cli.")} == {"streamrvq.cli.app"}
    wanted = loaded("streamrvq.cli.app", "streamrvq.cli.app.import_command(['-x', 'convert', 'encode'])")
    assert "streamrvq.cli.convert" in wanted
    assert not wanted & {f"streamrvq.cli.{name}" for name in ("encode", "serve", "train", "bench")}


def test_loading_weights_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from streamrvq.weights import *; from streamrvq import PRESETS;"
        f"save_weights(seeded(PRESETS['causal-44khz']), r'{tmp_path / 'w.safetensors'}');"
        f"load_weights(r'{tmp_path / 'w.safetensors'}'); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=PATIENCE)


def test_public_names() -> None:
    assert set(streamrvq.__all__) == PUBLIC
    assert [name for name in PUBLIC if not hasattr(streamrvq, name)] == []


def test_files_are_small() -> None:
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}, "one idea a file"


def test_files_say_what_they_know() -> None:
    for path in modules(ROOT).values():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no header"
