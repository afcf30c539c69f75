"""Our own layout both ways, damaged and foreign files, and how layouts and sources are recognised."""

import dataclasses
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.codec import load
from streamrvq.config import PRESETS
from streamrvq.errors import WeightsError
from streamrvq.families.dac import foreign_modules, renamed
from streamrvq.weights import Weights, load_weights, save_weights, seeded
from streamrvq.weights.folder import of_guess
from streamrvq.weights.hub import RELEASED
from tests.support.contract import needs_torch
from tests.support.hostile.small_files import small_files
from tests.support.small_codec import ANY, CONFIG, same

# --- our own layout


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_own_layout_round_trip(tmp_path: Path, half: bool, causal: bool) -> None:
    weights = seeded(dataclasses.replace(CONFIG, causal=causal, quantizer_dropout=0.25), 3, "näme")
    path = tmp_path / "w.safetensors"
    save_weights(weights, path, half=half)
    back = load_weights(path)
    assert same(back, weights)
    assert back.codec_hash == weights.codec_hash
    assert (back.name, back.trained) == ("näme", False)
    save_weights(dataclasses.replace(weights, trained=True), path)  # over an older file
    assert load_weights(str(path)).trained
    assert os.listdir(path.parent) == ["w.safetensors"]


def test_half_halves_the_file_and_refuses_to_round(tmp_path: Path, weights: Weights) -> None:
    for half in (False, True):
        save_weights(weights, tmp_path / f"{half}.safetensors", half=half)
    assert (tmp_path / "True.safetensors").stat().st_size < 0.75 * (tmp_path / "False.safetensors").stat().st_size
    for bad in (0.1, 1e6, 1e-12):
        value = weights.tensors[ANY].copy()
        value[0, 1, 2] = bad
        changed = dataclasses.replace(weights, tensors={**weights.tensors, ANY: value})
        with pytest.raises(WeightsError, match=r"at \[0, 1, 2\], which float16 cannot hold.*half=False"):
            save_weights(changed, tmp_path / "bad.safetensors", half=True)
    assert not (tmp_path / "bad.safetensors").exists()


@given(data=st.data())
def test_a_damaged_file_is_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damage"
    folder.mkdir(exist_ok=True)
    good = folder / "good.safetensors"
    if not good.exists():
        save_weights(seeded(CONFIG), good)
    content = bytearray(good.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 12_000), label="where")
    if data.draw(st.booleans(), label="cut"):
        content = content[:where]
    else:
        content[where] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    bad = folder / "bad.safetensors"
    bad.write_bytes(content)
    try:
        read = load_weights(bad)
    except WeightsError as error:
        assert "\n" not in str(error)
        assert str(bad) in str(error)
    else:  # a bit of the name or of the trained flag: nothing that decides tokens
        assert read.codec_hash == load_weights(good).codec_hash


def test_foreign_and_newer_files_are_refused(tmp_path: Path, weights: Weights) -> None:
    path = tmp_path / "x.safetensors"
    good = {"format": "streamrvq", "version": "1", "config": CONFIG.to_json(), "trained": "false", "name": "x"}
    for change, message in (
        ({"format": "pt"}, "was not saved by streamrvq"),
        ({"version": "2"}, "has format version '2'; wanted '1'"),
        ({"config": "{"}, "configuration .* is not JSON"),
        ({"config": '{"colour":1}'}, "unknown configuration key 'colour'"),
        ({"config": '{"encoder_rates":[[2]],"decoder_rates":[2]}'}, "cannot be used"),
        ({"codec_hash": "0" * 64}, "says 000000000000….*damaged"),
        ({}, "says None"),
    ):
        safetensors.numpy.save_file(dict(weights.tensors), path, {**good, **change})
        with pytest.raises(WeightsError, match=message):
            load_weights(path)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="damaged or not a safetensors file"):
        load_weights(path)
    safetensors.numpy.save_file(dict(weights.tensors), path)
    with pytest.raises(WeightsError, match="was not saved by streamrvq"):
        load_weights(path)


# --- which layout


def test_sources_that_are_none_list_the_presets(tmp_path: Path, weights: Weights) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    for source in ("causal-44kHz", tmp_path / "none.safetensors", tmp_path / "none.pth", tmp_path / "x.wav"):
        with pytest.raises(WeightsError, match=r"dac-44khz.*Hugging Face") as caught:
            load_weights(source)
        assert [name for name in PRESETS if name not in str(caught.value)] == []
    with pytest.raises(WeightsError, match="tells no layout"):
        save_weights(weights, tmp_path / "w.bin")
    with pytest.raises(WeightsError, match="tells no layout"):
        save_weights(weights, tmp_path / "w", layout="onnx")  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="half"):
        save_weights(weights, tmp_path / "w.pth", half=True)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"cannot write [^:]*: [^:\[]*; wanted a writable place"):
        save_weights(weights, tmp_path / "file" / "w.safetensors")
    save_weights(weights, tmp_path / "odd.bin", layout="streamrvq")
    assert (tmp_path / "odd.bin").stat().st_size


@pytest.mark.parametrize("name", ["", None, 5, b"causal-44khz"], ids=repr)
def test_what_is_no_name_is_refused(
    name: Any, tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one wrote a codec's files into the folder where one was, or read those."""
    monkeypatch.chdir(tmp_path)
    said = "^an empty name was given for" if name == "" else f"^{re.escape(repr(name))} was given for"
    for use in (load_weights, load, lambda source: load(source, weights="seeded")):
        with pytest.raises(WeightsError, match=f"{said} weights; wanted a preset's name"):
            use(name)
    with pytest.raises(WeightsError, match=f"{said} weights; wanted the path of"):
        save_weights(weights, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
def test_presets_load() -> None:
    for name, config in PRESETS.items():
        if config.encoder_dim <= 32:
            weights = load_weights(f"seeded:{name}" if name in RELEASED else name)
            assert weights.name == name
            assert weights.config == config


def test_reading_our_own_layout_does_not_import_torch(tmp_path: Path, weights: Weights) -> None:
    save_weights(weights, tmp_path / "w.safetensors")
    save_weights(weights, tmp_path / "hf")
    code = (
        "import sys; from streamrvq.weights import load_weights, seeded; from streamrvq.config import CodecConfig\n"
        "load_weights(sys.argv[1]); load_weights(sys.argv[2])\n"
        "seeded(CodecConfig(encoder_dim=2, decoder_dim=16)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "w.safetensors", tmp_path / "hf"], check=True)


def test_a_name_that_is_not_utf_8_becomes_a_printable_one(weights: Weights) -> None:
    """Else tokens of the codec could not be written, which hold its name."""
    theirs = renamed(weights.tensors, foreign_modules(CONFIG))
    assert of_guess(CONFIG, theirs, Path(os.fsdecode(b"caf\xe9.safetensors"))).name == r"caf\udce9"


# --- what is written over


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["w.safetensors", pytest.param("w.pth", marks=needs_torch), "w"])
def test_a_full_disk_is_said_and_the_older_weights_stay(tmp_path: Path, weights: Weights, name: str) -> None:
    save_weights(weights, tmp_path / name)
    before = held(tmp_path)
    with small_files(4000), pytest.raises(WeightsError, match=rf"cannot write .*{name}.*; wanted a writable place"):
        save_weights(seeded(CONFIG, 1), tmp_path / name)
    assert held(tmp_path) == before


class Killed(BaseException):
    pass


@pytest.mark.parametrize("last", range(4))
def test_a_folder_that_is_half_written_is_no_codecs(
    tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """Not one of the older configuration with the newer tensors, which would fit each other."""
    newer = seeded(dataclasses.replace(CONFIG, sample_rate=16000), 1)
    save_weights(weights, tmp_path / "w")
    rename, renamed_so_far = os.replace, list[object]()

    def killed(old: str, new: str) -> None:
        if len(renamed_so_far) == last:
            raise Killed
        rename(old, new)
        renamed_so_far.append(new)

    with monkeypatch.context() as patch, pytest.raises(Killed) if last < 3 else nullcontext():
        patch.setattr(os, "replace", killed)
        save_weights(newer, tmp_path / "w")
    if last == 3:
        assert load_weights(tmp_path / "w").codec_hash == newer.codec_hash
    else:
        with pytest.raises(WeightsError, match=r"cannot read .*config\.json"):
            load_weights(tmp_path / "w")
