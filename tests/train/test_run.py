"""Whole runs of a tiny codec: they learn, they resume to the bit, what they export is what streams.

Knows: the loop, its folder and the command line. Does not know: how good a real codec gets.
"""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import streamrvq
from streamrvq.cli import main
from streamrvq.errors import ConfigError, WeightsError
from streamrvq.nn import CodecModel
from streamrvq.train import checkpoint
from streamrvq.train.config import LossWeights
from streamrvq.train.run import Run
from streamrvq.weights import load_weights
from tests.support.contract import streamed
from tests.support.training.runs import CODEC, Silent, audio_in, config_of


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones that come and go, for training and for validation."""
    return audio_in(tmp_path_factory.mktemp("audio"))


def tensors(value: Any) -> list[torch.Tensor]:
    """Every tensor in a state, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for key in value for tensor in tensors(value[key])]
    return [tensor for item in value for tensor in tensors(item)] if isinstance(value, (list, tuple)) else []


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    ours, theirs = tensors(a), tensors(b)
    assert len(ours) == len(theirs) > 50
    assert [torch.equal(x, y) for x, y in zip(ours, theirs, strict=True)] == [True] * len(ours)


@pytest.mark.parametrize(
    "changes",
    [
        {"codebooks_again": (0.5,)},
        {"codebooks": "gradient"},
        {"adversarial_from": 3, "discriminator_width": 2, "steps": 6},
    ],
    ids=str,
)
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    audio: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = config_of(audio, **changes)
    whole = Run(config, tmp_path / "whole", Silent(), cache=tmp_path / "cache")
    assert whole.go()
    for begin, end in ((0, 1), (1, 4)):  # before the codebooks, and after them
        with Run(config, tmp_path / "parts", Silent(), cache=tmp_path / "cache") as part:
            assert part.trainer.step == begin
            assert not part.go(until=lambda part=part, end=end: part.trainer.step == end)  # type: ignore[misc]
            assert part.trainer.step == end
    last = Run(config, tmp_path / "parts", Silent(), cache=tmp_path / "cache")
    assert last.trainer.step == 4
    assert last.go()
    assert last.trainer.step == config.steps
    assert_same(whole.trainer.state(), last.trainer.state())
    assert whole.audio_seconds == last.audio_seconds
    assert_same(checkpoint.read(whole.checkpoint_path), checkpoint.read(last.checkpoint_path))


def test_a_run_learns_logs_and_exports_what_streams(audio: Path, tmp_path: Path) -> None:
    # The mel loss alone: a codec this small cannot have the waveform too.
    config = config_of(audio, steps=60, plain_steps=6, validate_every=10, checkpoint_every=60, lr=0.02, small_lr=5e-3,
                       ema=0.9, loss=LossWeights(compressed=0.0))  # fmt: skip
    observer = Silent()
    run = Run(config, tmp_path, observer)
    assert run.go()
    mel = [figures["mel"] for figures in observer.validations]
    assert len(mel) == 6, mel
    assert mel[-1] < 0.9 * mel[0], mel
    assert len(observer.validations[-1]["used"]) == 3
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["event"] == "train"] == list(range(2, 61, 2))
    assert [row["mel"] for row in rows if row["event"] == "validation"] == mel
    assert [r for r in rows if r["event"] == "train" and (r["speed"] <= 0 or r["lr"] <= 0)] == []

    figures = run.export()
    codec = streamrvq.load(tmp_path / "tiny.safetensors", dtype="float64")
    assert codec.trained
    assert codec.codec_hash == figures["codec_hash"]
    assert [n for n, v in codec.weights.tensors.items() if not np.array_equal(v, v.astype(np.float16))] == []
    assert abs(figures["rounded"]["mel"] - figures["exact"]["mel"]) < 0.1
    pcm = run.clips[0][0].numpy()
    codes = codec.encode(pcm)
    np.testing.assert_array_equal(streamed(codec.stream(), pcm, [1, 70, 300]), codes)
    module = CodecModel.from_weights(codec.weights).double()
    with torch.no_grad():  # one network, two engines
        theirs = module.encode(torch.from_numpy(pcm)[None, None].double())[1][0].numpy()
    np.testing.assert_array_equal(theirs, codes)


def test_bfloat16_and_the_adversarial_phase_run(audio: Path, tmp_path: Path) -> None:
    config = config_of(audio, precision="bf16", adversarial_from=1, discriminator_width=2, steps=4)
    observer = Silent()
    Run(config, tmp_path, observer).go()
    assert {"adversarial", "feature", "mel", "stft", "wave"} <= set(observer.steps[-1])
    assert [figures for figures in observer.steps if not np.isfinite(list(figures.values())).all()] == []


def test_what_cannot_be_is_refused(audio: Path, tmp_path: Path) -> None:
    config = config_of(audio, steps=1)
    run = Run(config, tmp_path, Silent())
    with pytest.raises(ConfigError, match="no codebooks yet"):
        run.export()
    run.go()
    run.close()
    with pytest.raises(ConfigError, match="seed 0, and this one has 1"):
        Run(dataclasses.replace(config, seed=1), tmp_path, Silent())
    with pytest.raises(ConfigError, match="in train and in validation"):
        Run(dataclasses.replace(config, validation=config.train), tmp_path / "new", Silent())
    run.checkpoint_path.write_bytes(run.checkpoint_path.read_bytes()[:-999])
    with pytest.raises(WeightsError, match=r"checkpoint\.pt cannot be read"):
        Run(config, tmp_path, Silent())


def test_the_command_trains_goes_on_and_exports(
    audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.toml"
    codec = "\n".join(f"{k} = {json.dumps(v)}" for k, v in CODEC.to_dict().items())
    path.write_text(
        'name = "tiny"\nbatch = 2\nplain_steps = 1\ncodebook_frames = 128\nvalidation_clips = 1\n'
        f"validation_seconds = 0.1\n[codec]\n{codec}\n"
    )
    data = ["--data", str(audio / "train"), "--validation", str(audio / "validation")]
    documents = []
    for steps in ("2", "3"):
        with pytest.raises(SystemExit) as end:
            main(["train", str(path), "--out", str(tmp_path / "out"), *data, "--steps", steps, "--json"])
        assert end.value.code == 0
        documents.append(json.loads(capsys.readouterr().out))
    assert [document["step"] for document in documents] == [2, 3]
    assert documents[1]["export"]["bytes"] > 0
    assert documents[1]["export"]["rounded"]["estoi"] is None, "0.1 s is too short for a figure"
    assert streamrvq.load(tmp_path / "out" / "tiny.safetensors").trained
    for bad, message in ((["--device", "tpu"], "cpu or cuda"), (["--data", "nowhere"], "nowhere is not there")):
        with pytest.raises(SystemExit) as end:
            main(["train", str(path), "--out", str(tmp_path / "new"), *data, *bad])
        assert end.value.code == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_a_run_begins_with_weights_and_goes_on_without_them(audio: Path, tmp_path: Path) -> None:
    config = config_of(audio, steps=12, validate_every=12, checkpoint_every=12, small_lr=5e-3, ema=0.5)
    first = Run(config, tmp_path / "a", Silent(), cache=tmp_path / "c")
    assert first.go()
    first.export()
    weights = load_weights(tmp_path / "a" / "tiny.safetensors")

    config = config_of(audio, steps=6, lr=1e-5, small_lr=1e-5, warmup=1)
    run = Run(config, tmp_path / "b", Silent(), cache=tmp_path / "c", weights=weights)
    assert run.trainer.quantised
    assert run.trainer.step == 0
    codes = [level.codebook.weight.clone() for level in run.trainer.model.quantizer.quantizers]
    np.testing.assert_array_equal(codes[0].numpy(), weights.tensors["quantizer.quantizers.0.codebook.weight"])
    before = run.trainer.model.to_weights("a", True)
    for name, tensor in weights.tensors.items():  # as before, but for the rounding of norms
        np.testing.assert_allclose(before.tensors[name], tensor, rtol=1e-5, atol=1e-6)
    shares = run.trainer.running_means.share
    assert shares.sum(1).numpy() == pytest.approx(1, abs=0.6)
    assert float(shares.min()) > 0
    assert not run.go(until=lambda: run.trainer.step == 4)
    run.close()
    again = Run(config, tmp_path / "b", Silent(), cache=tmp_path / "c", weights=weights)
    assert again.trainer.step == 4
    assert again.go()

    other = dataclasses.replace(config, codec=dataclasses.replace(config.codec, latent_dim=24))
    with pytest.raises(WeightsError, match="of another codec"):
        Run(other, tmp_path / "d", Silent(), cache=tmp_path / "c", weights=weights)


def test_codebooks_are_made_again_for_what_the_encoder_has_become(audio: Path, tmp_path: Path) -> None:
    config = config_of(audio, steps=8, codebooks_again=(0.5,), small_lr=5e-3, ema=0.5)
    trainer = Run(config, tmp_path, Silent()).trainer
    axes, filters = trainer.model.quantizer.quantizers[0].in_proj.weight, trainer.average.encoder.block[0].weight
    turned, drifted = [], []
    for batch in trainer.crops.batches(0, config.steps):
        before = axes.detach().clone(), filters.clone()
        trainer.train_step(batch)
        turned.append(float((axes.detach() - before[0]).abs().max()))
        drifted.append(float((filters - before[1]).abs().max()))
    assert turned[4] > 10 * max(turned[3], turned[5]), turned
    assert drifted[4] < 0.1, "the average of the rest continues"


@pytest.mark.parametrize("asked, wanted", [(None, 2), ("3", 3)])
def test_a_run_keeps_to_its_share_of_the_cores(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, wanted: int
) -> None:
    """torch's own number for the main thread knows nothing of a container's quota; OMP_NUM_THREADS counts."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr("streamrvq.train.loop.available_cores", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        Run(config_of(audio), tmp_path, Silent())
        assert torch.get_num_threads() == wanted
    finally:
        torch.set_num_threads(before)


def interrupted(audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, times: int) -> Run:
    """A run whose fourth step got ``times`` interrupts, ``where``: before, within or after what it moves."""
    run = Run(config_of(audio), tmp_path / "run", Silent(), cache=tmp_path / "cache")
    step, follow = run.trainer.train_step, run.trainer._follow

    def strike(here: str) -> None:
        for _ in range(times * (where == here and run.trainer.step == 3 + (here == "after"))):
            signal.raise_signal(signal.SIGINT)

    def interrupted_step(batch: Any) -> Any:
        strike("before")
        figures = step(batch)
        strike("after")
        return figures

    def interrupted_follow(parts: Any) -> None:
        strike("within")
        follow(parts)

    monkeypatch.setattr(run.trainer, "_follow", interrupted_follow)
    monkeypatch.setattr(run.trainer, "train_step", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        run.go()
    return run


def test_an_interrupt_waits_for_the_end_of_a_step(audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = interrupted(audio, tmp_path, monkeypatch, "before", 1)
    assert run.trainer.step == 4
    assert checkpoint.read(run.checkpoint_path)["step"] == 4


@pytest.mark.parametrize(("where", "kept"), [("before", 3), ("within", 3), ("after", 4)])
def test_a_second_interrupt_saves_no_half_step(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, kept: int
) -> None:
    run = interrupted(audio, tmp_path, monkeypatch, where, 2)
    state = checkpoint.read(run.checkpoint_path)
    assert state["step"] == kept
    assert state["audio_seconds"] == pytest.approx(kept * run.config.step_seconds)


def test_a_run_goes_on_with_discriminators_of_another_width(audio: Path, tmp_path: Path) -> None:
    """They are new ones, as those of a run that had none before. All else goes on."""
    found = []
    for width, observer in ((1, Silent()), (2, Silent()), (2, Silent())):
        config = config_of(audio, steps=6, plain_steps=0, adversarial_from=0, discriminator_width=width)
        with Run(config, tmp_path / "run", observer, cache=tmp_path / "cache") as run:
            before = run.trainer.step
            run.go(until=lambda run=run, before=before: run.trainer.step == before + 2)  # type: ignore[misc]
            found.append(run.trainer.step)
        changed = any("discriminator_width 1 → 2" in remark for remark in observer.remarks)
        assert changed == (found == [2, 4])
    assert found == [2, 4, 6]
