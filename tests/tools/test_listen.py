"""tools/listen: the files of its page, what it says of them, and what it refuses."""

import html
import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamrvq import DEFAULT_CODEC, load
from streamrvq.weights import save_weights, seeded
from tests.support.contract import tiny
from tests.support.paths import AUDIO, ROOT
from tests.support.patience import PATIENCE
from tools.corpus_build.sources import KEPT_OUT
from tools.listen_page import __main__ as listen_page
from tools.listen_page import clips
from tools.listen_page.__main__ import main
from tools.quality_measure.systems import results, systems

SPEECH = ROOT / "demos" / "audio" / "speech_hu.flac"
RATE = 44100
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not here")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(seeded(tiny(causal=True)), path)
    return path


def listen(out: Path, *arguments: object, code: int = 0) -> str:
    """Run the command. Returns the page, with its entities read."""
    assert main([*map(str, arguments), "--out", str(out)]) == code
    return html.unescape((out / "index.html").read_text("utf-8")) if code == 0 else ""


def rates_on(page: str) -> list[tuple[str, float]]:
    found = re.findall(r"<strong>([^<]+)</strong> <span>([\d.]+) kbit/s", page)
    return [(name, float(kbps)) for name, kbps in found]


@needs_ffmpeg
def test_every_version_is_a_file_as_long_as_the_original(tmp_path, capsys):
    page = listen(tmp_path / "out", SPEECH, "--seconds", 1.2)
    assert str(tmp_path / "out" / "index.html") in capsys.readouterr().out
    names = ["original", "ours9", "ours4", "ours2", "opus12", "opus16"]
    files = [f"audio/01-{name}.flac" for name in names]
    assert re.findall(r'src="(audio/[^"]+)"', page) == files
    sounds = [soundfile.read(tmp_path / "out" / file, dtype="float32") for file in files]
    assert [(len(pcm), rate) for pcm, rate in sounds] == [(52920, RATE)] * 6
    original, *coded = [pcm for pcm, _ in sounds]
    pcm = soundfile.read(SPEECH, frames=52920, dtype="float32")[0]
    assert np.array_equal(original, pcm), "not one sample of the original is changed"
    # the figures are those of the coders that tools/quality measures
    codec = load(DEFAULT_CODEC, threads=1)
    measured = {r.system: r for r in results(pcm, systems(9, (4, 2), (12, 16)), codec)}
    order = sorted(measured, key=lambda system: system.kind == "opus" and system.amount)
    assert [kbps for _, kbps in rates_on(page)] == [round(measured[s].bits / 1.2 / 1000, 1) for s in order]
    labels = ["Original", "9 codebooks", "4 codebooks", "2 codebooks", "Opus 12", "Opus 16"]
    assert [name for name, _ in rates_on(page)] == labels
    for system, sound in zip(order[1:], coded, strict=True):
        assert np.abs(np.clip(measured[system].pcm, -1, 1) - sound).max() < 2**-15, "the level is left as it is"
    for one, other in itertools.pairwise(coded):
        assert not np.array_equal(one, other)


def test_licences_are_beside_the_audio_and_the_page_says_what_was_kept_out(tmp_path):
    page = listen(tmp_path / "out", SPEECH, "--seconds", 1, "--opus", "none")
    assert "GPL-2+" in page
    assert "No weights of this project are trained on its source, klettres/hu of klettres-data" in page
    assert "Opus is not on this page" in page
    texts = re.findall(r'href="(licences/[^"]+)"', page)
    assert texts == ["licences/demos-audio-GPL-2.txt", "licences/demos-audio-LICENSE.txt"]
    assert (tmp_path / "out" / texts[0]).read_bytes() == (SPEECH.parent / "GPL-2.txt").read_bytes()


@pytest.mark.parametrize("shipped", clips.SHIPPED, ids=lambda shipped: Path(shipped.path).name)
def test_what_is_said_of_a_shipped_clip_holds(shipped):
    text = "".join(path.read_text("utf-8") for path in clips.licences_of([clips.read_clip(ROOT / shipped.path, 1)]))
    assert shipped.part in KEPT_OUT[shipped.package]
    assert shipped.package in text
    card = (ROOT / "streamrvq" / "weights" / "data" / f"{DEFAULT_CODEC}.md").read_text("utf-8")
    assert f"| {shipped.package} |" not in card or shipped.part != "*", "the card lists it as trained on"
    for author in shipped.source.split(" by ")[-1].split("; ")[-1].split(", "):
        assert author in text


def test_a_clip_of_ones_own_keeps_its_level_and_nothing_is_claimed_of_it(tmp_path, weights):
    t = np.arange(48000) / 48000
    stereo = np.stack([0.01 * np.sin(2 * np.pi * 300 * t), 0.03 * np.sin(2 * np.pi * 300 * t)], axis=1)
    soundfile.write(tmp_path / "a <b>.wav", stereo, 48000, subtype="FLOAT")
    page = listen(tmp_path / "out", tmp_path / "a <b>.wav", "--downmix", "--codec", weights, "--opus", "none")
    assert "The mean of its 2 channels. Brought from 48000 Hz to 44.1 kHz" in page
    assert "are not known here" in page
    assert "untrained" in page
    assert "<b>" not in (tmp_path / "out" / "index.html").read_text("utf-8")
    assert not (tmp_path / "out" / "licences").exists()
    original, _ = soundfile.read(tmp_path / "out" / "audio" / "01-original.flac")
    assert len(original) == RATE
    assert np.abs(original[1000:-1000]).max() == pytest.approx(0.02, rel=0.01)


def test_samples_beyond_full_scale_are_counted(tmp_path, weights):
    loud = np.zeros(RATE, np.float32)
    loud[100:107] = [1.5, -1.5, 1.0, -1.0, 0.999, 2.0, -1.001]  # −1 and 0.999 fit
    soundfile.write(tmp_path / "loud.wav", loud, RATE, subtype="FLOAT")
    page = listen(tmp_path / "out", tmp_path / "loud.wav", "--codec", weights, "--opus", "none")
    assert re.findall(r"Original</strong> <span>[^<]* (\d+) samples limited", page) == ["5"]


def test_a_shipped_clip_of_another_codec_gets_no_claim(tmp_path, weights):
    page = listen(tmp_path / "out", SPEECH, "--seconds", 1, "--codec", weights, "--opus", "none")
    assert "Whether this codec was trained on it is not known here." in page


def test_an_older_page_is_replaced_and_other_folders_are_left_alone(tmp_path, weights):
    arguments = ["--codec", weights, "--seconds", 1, "--opus", "none", SPEECH]
    listen(tmp_path / "out", *arguments, AUDIO / "guitar_01.ogg")
    assert len(list((tmp_path / "out" / "audio").iterdir())) > 4
    listen(tmp_path / "out", *arguments, "--codebooks", "2")
    left = {path.name for path in (tmp_path / "out" / "audio").iterdir()}
    assert all(name.startswith("01-") for name in left)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    listen(tmp_path / "mine", *arguments, code=2)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_page_that_was_interrupted_is_made_again(tmp_path, weights, monkeypatch):
    def interrupted(*_):
        (tmp_path / "out" / "audio" / "01-original.flac").touch()
        raise KeyboardInterrupt

    arguments = ["--codec", weights, "--seconds", 1, "--opus", "none", SPEECH]
    with monkeypatch.context() as patch:
        patch.setattr(listen_page, "write_versions", interrupted)
        listen(tmp_path / "out", *arguments, code=130)
    assert "This page is not finished" in (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "not finished" not in listen(tmp_path / "out", *arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--seconds", "0"], "--seconds is 0.0; wanted 1 or more"),
        (["--seconds", "nan"], "--seconds is nan; wanted 1 or more"),
        (["--opus", "12,loud"], "wanted whole numbers"),
        (["nowhere.wav", "--opus", "none"], "nowhere.wav"),
        ([str(AUDIO / "stereo_48khz.flac"), "--opus", "none"], "has 2 channels; wanted 1: pass downmix"),
    ],
)
def test_the_command_line_refuses_in_a_sentence(tmp_path, weights, capsys, arguments, match):
    listen(tmp_path / "out", *arguments, "--codec", weights, code=2)
    assert match in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_demo_asks_for_a_page_as_it_can_be_asked_for(tmp_path, capsys):
    command = (ROOT / "tools" / "demo").read_text("utf-8").split("tools.listen_page", 1)[1]
    given = re.findall(r"\$ROOT/(demos/[\w./]+)", command)
    assert set(given) <= {shipped.path for shipped in clips.SHIPPED}
    assert len(given) == 2
    with pytest.raises(SystemExit):
        main(["--help"])
    assert set(re.findall(r"--\w+", command)) <= set(re.findall(r"--\w+", capsys.readouterr().out))


def test_the_command_starts_and_explains_itself():
    done = subprocess.run([sys.executable, "-W", "error", "-m", "tools.listen_page", "--help"], capture_output=True,
                          text=True, cwd=ROOT, timeout=PATIENCE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "needs no server" in " ".join(done.stdout.split())
