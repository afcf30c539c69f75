"""Hostile weights in every layout: refused in one line or read, whatever one thing is broken, at little cost."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.errors import ConfigError, WeightsError
from streamrvq.weights import Weights, load_weights, seeded
from tests.support.fuzzing.json_text import broken_json
from tests.support.fuzzing.raw_bytes import one_change
from tests.support.fuzzing.safetensors_files import broken_safetensors, put_together, taken_apart
from tests.support.fuzzing.survival import assert_survives
from tests.support.fuzzing.torch_files import TENSORS, VALUES, broken_pickle, broken_torch_file, saved
from tools.fuzzing.judging import MOST_MEMORY, forget_peak, peak_memory
from tools.fuzzing.registry import targets
from tools.fuzzing.small import CONFIG

RIGHT = {name: targets()[name].seeds()[0] for name in ("weights", "pth", "pth-pickle", "hf-config", "hf-tensors")}


# --- our own layout


@given(data=broken_safetensors(RIGHT["weights"]))
def test_a_safetensors_file_with_one_thing_broken(data: bytes) -> None:
    assert_survives("weights", data)


@given(data=st.data())
def test_a_configuration_in_it_with_one_thing_broken(data: st.DataObject) -> None:
    header, tensors = taken_apart(RIGHT["weights"])
    config = data.draw(broken_json(json.loads(header["__metadata__"]["config"])))
    header["__metadata__"]["config"] = config.decode("utf-8", "replace")
    raw = json.dumps(header).encode()
    assert_survives("weights", len(raw).to_bytes(8, "little") + raw + tensors)


# --- Hugging Face's


@given(data=broken_json(json.loads(RIGHT["hf-config"])))
def test_a_config_json_with_one_thing_broken(data: bytes) -> None:
    assert_survives("hf-config", data)


@given(data=broken_safetensors(RIGHT["hf-tensors"]))
def test_a_model_safetensors_with_one_thing_broken(data: bytes) -> None:
    assert_survives("hf-tensors", data)


# --- descript's


def content() -> dict[str, Any]:
    """What a right .pth of the small codec holds."""
    found: dict[str, Any] = torch.load(io.BytesIO(RIGHT["pth"]), weights_only=True)
    return found


@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.parametrize("name", ["x", "a.weight_v", "encoder.block.0.weight_v"])
def test_a_tensor_of_another_kind(kind: str, name: str) -> None:
    whole = content()
    whole["state_dict"][name] = TENSORS[kind]()
    assert_survives("pth", saved(whole))


@given(data=st.data())
def test_a_plain_value_of_another_kind(data: st.DataObject) -> None:
    whole = content()
    places = [
        *((whole["metadata"]["kwargs"], key) for key in whole["metadata"]["kwargs"]),
        *((whole["metadata"]["streamrvq"], key) for key in whole["metadata"]["streamrvq"]),
        (whole, "state_dict"), (whole, "metadata"), (whole["metadata"], "kwargs"), (whole["metadata"], "streamrvq"),
        (whole["metadata"]["kwargs"], "x"), (whole["state_dict"], "x"), (whole["state_dict"], ("a", 1)),
        (whole["state_dict"], "\ud800"), (whole["state_dict"], None),
    ]  # fmt: skip
    where, key = data.draw(st.sampled_from(places))
    where[key] = data.draw(st.sampled_from(VALUES))()
    assert_survives("pth", saved(whole, old=data.draw(st.booleans())))


@given(data=broken_torch_file(RIGHT["pth"]))
def test_a_pth_with_one_thing_broken(data: bytes) -> None:
    assert_survives("pth", data)


@given(data=broken_pickle(RIGHT["pth-pickle"]) | one_change(RIGHT["pth-pickle"]))
def test_the_pickle_of_a_pth_with_one_thing_broken(data: bytes) -> None:
    assert_survives("pth-pickle", data)


@given(data=st.data())
def test_an_old_pth_with_one_thing_broken(data: st.DataObject) -> None:
    assert_survives("pth", data.draw(one_change(saved(content(), old=True))))


# --- what is said


def test_a_tensor_that_claims_more_than_its_file_is_named(tmp_path: Path) -> None:
    whole = content()
    whole["state_dict"]["a.weight_v"] = torch.zeros(1).expand(1 << 16, 1 << 15)
    (path := tmp_path / "x.pth").write_bytes(saved(whole))
    with pytest.raises(WeightsError, match=r"a\.weight_v in .* has shape \[65536, 32768\].* bytes are not enough"):
        load_weights(path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("sparse", "a sparse tensor"), ("quantised", "QInt8Storage"), ("nested", "a nested tensor"),
     ("meta", "a meta tensor"), ("complex", "a complex tensor"), ("float8", "float8")],
)  # fmt: skip
def test_a_tensor_that_is_no_weight_is_named(tmp_path: Path, kind: str, said: str) -> None:
    (path := tmp_path / "x.pth").write_bytes(saved({"state_dict": {"x": TENSORS[kind]()}}))
    with pytest.raises(WeightsError, match=said):
        load_weights(path)


def test_an_archive_with_a_list_of_members_that_never_ends_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(70_000):
            archive.writestr(zipfile.ZipInfo(f"{number:030}"), b"")
    (path := tmp_path / "x.pth").write_bytes(out.getvalue())
    with pytest.raises(WeightsError, match="a part of it is longer than"):
        load_weights(path)


def test_a_pickle_is_found_under_any_name_that_torch_reads(tmp_path: Path) -> None:
    """torch does not tell large letters from small ones."""
    sparse, out = zipfile.ZipFile(io.BytesIO(saved({"x": TENSORS["sparse"]()}))), io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member in sparse.infolist():
            archive.writestr(member.filename.replace("data.pkl", "Data.PKL"), sparse.read(member))
    (path := tmp_path / "x.pth").write_bytes(out.getvalue())
    with pytest.raises(WeightsError, match="a sparse tensor"):
        load_weights(path)


@pytest.mark.parametrize("comment", [0, 9])
def test_an_archive_of_two_lists_of_members_is_refused(tmp_path: Path, comment: int) -> None:
    """zipfile reads the list before the end; torch reads the one that the end points to."""
    right, parts = RIGHT["pth"], []
    for compress in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(right)) as old, zipfile.ZipFile(out, "w", compress) as new:
            for member in old.infolist():
                new.writestr(member.filename, old.read(member))
        parts.append(out.getvalue())
    seen, read = parts[1], parts[0]
    end = bytearray(seen[-22:])
    end[16:20] = read[-6:-2]  # where the other list begins
    end[20:22] = comment.to_bytes(2, "little")
    (path := tmp_path / "x.pth").write_bytes(read[:-22] + seen[:-22] + bytes(end) + bytes(comment))
    with pytest.raises(WeightsError, match="no list of parts where it says"):
        load_weights(path)


@pytest.mark.parametrize("tensors", [{"x": [1.0]}, {"x": None}, {"x": np.array(["a"])}, {1: np.zeros(1)}, 5], ids=repr)
def test_tensors_from_python_that_are_none_are_refused_in_one_line(tensors: Any) -> None:
    with pytest.raises(WeightsError) as caught:
        Weights.from_tensors(CONFIG, tensors, name="x", trained=False)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True, None])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed is"):
        seeded(CONFIG, seed)


def test_a_pth_of_the_older_kind_is_still_read(tmp_path: Path) -> None:
    (path := tmp_path / "x.pth").write_bytes(saved(content(), old=True))
    (new := tmp_path / "y.pth").write_bytes(RIGHT["pth"])
    assert load_weights(path).codec_hash == load_weights(new).codec_hash


@pytest.mark.parametrize("name", ["[/x]", "two\nlines", "\x1b[31m", "x" * 5000])
def test_a_name_in_a_file_becomes_one_printable_line(tmp_path: Path, name: str) -> None:
    header, tensors = taken_apart(RIGHT["weights"])
    header["__metadata__"]["name"] = name
    raw = json.dumps(header).encode()
    (path := tmp_path / "x.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + tensors)
    assert load_weights(path).name.isprintable()
    assert len(load_weights(path).name) <= 200


@pytest.mark.parametrize("shape", [(1, 1, 20_000_000), (20_000_000, 1, 1)])
def test_a_half_of_another_shape_is_not_folded(shape: tuple[int, ...]) -> None:
    """In float64 it would take sixteen times its room."""
    header, data = taken_apart(RIGHT["weights"])
    weight = next(name for name in header if name.endswith(".weight"))
    gain = [shape[0], 1, 1]
    sizes = {f"{weight}_g": gain, f"{weight}_v": list(shape)}
    for name, dims in sizes.items():
        size = 2 * int(np.prod(dims))
        header[name] = {"dtype": "F16", "shape": dims, "data_offsets": [len(data), len(data) + size]}
        data += bytes(size)
    assert_survives("weights", put_together(json.dumps(header), data))


def test_a_large_weight_is_folded_in_parts_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = sys.modules["streamrvq.weights.fold"]  # the package's `fold` is the function
    rng = np.random.default_rng(0)
    g, v = rng.normal(size=(50, 1, 1)).astype(np.float16), rng.normal(size=(50, 7, 3)).astype(np.float16)
    whole = fold.fold_pair("x", g, v)
    gains, _ = fold.split(whole)
    monkeypatch.setattr(fold, "_AT_ONCE", 40)
    np.testing.assert_array_equal(fold.fold_pair("x", g, v), whole)
    np.testing.assert_array_equal(fold.split(whole)[0], gains)


_GIGABYTES = 1 << 31


@pytest.mark.parametrize(
    ("what", "said"),
    [("of another program", "was not saved by streamrvq"),
     ("unknown", "has x, which the configuration does not know"),
     ("shape", rf"has shape \[{_GIGABYTES // 4}\]; wanted"),
     ("gain", r"has 21474\d+ bytes of tensors; wanted at most \d+, for weights of its configuration"),
     ("folder", r"has 21474\d+ bytes of tensors; wanted at most \d+, for weights of its configuration")],
)  # fmt: skip
def test_gigabytes_that_are_no_weights_are_not_read(tmp_path: Path, what: str, said: str) -> None:
    """Zeros behind the other tensors, none of which are on the disk."""
    path, name = tmp_path / ("model.safetensors" if what == "folder" else "x.safetensors"), "x"
    header, tensors = taken_apart(RIGHT["hf-tensors" if what == "folder" else "weights"])
    if what == "of another program":
        header, tensors = {}, b""
    elif what == "shape":
        name = max(set(header) - {"__metadata__"}, key=lambda name: header[name]["data_offsets"][1])
        tensors = tensors[: header.pop(name)["data_offsets"][0]]
    elif what == "gain":
        weight = next(name for name in header if name.endswith(".weight"))
        header[f"{weight}_v"], name = header.pop(weight), f"{weight}_g"
    elif what == "folder":
        (tmp_path / "config.json").write_bytes(RIGHT["hf-config"])
    end = len(tensors) + _GIGABYTES
    header[name] = {"dtype": "F32", "shape": [_GIGABYTES // 4], "data_offsets": [len(tensors), end]}
    path.write_bytes(start := put_together(json.dumps(header), tensors))
    os.truncate(path, len(start) - len(tensors) + end)
    forget_peak()
    before = peak_memory()
    with pytest.raises(WeightsError, match=said):
        load_weights(tmp_path if what == "folder" else path)
    assert peak_memory() - before < MOST_MEMORY
