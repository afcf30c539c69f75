"""tools/quality without its metrics: which systems and clips are compared, how figures are averaged.

ViSQOL, Whisper and the rest run in the tool itself; here a small codec goes through everything that needs none of them.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import Codec
from streamrvq.train.validation import usage
from streamrvq.weights import save_weights, seeded
from tests.support.contract import tiny
from tests.support.measuring import run
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tools.corpus_build import audio
from tools.corpus_build.build import Package, build
from tools.corpus_build.pack import pack, unpack
from tools.corpus_build.sources import Source
from tools.quality_measure import comparison, judging, metrics, opus
from tools.quality_measure.clips import RATE, chosen, find_validation, validation_clips, word_clips
from tools.quality_measure.errors import QualityError
from tools.quality_measure.metrics import Judge, check_metrics
from tools.quality_measure.report import make_report, mean, read_report, table, write_report
from tools.quality_measure.systems import System, results, systems

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not here")


def sound(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Something with attacks, tones and noise, so that a shift would show."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    burst = np.exp(-((t * 4) % 1) * 6)
    tones = sum(np.sin(2 * np.pi * f * t + seed) for f in (210, 640, 1730))
    return (burst * (0.1 * tones + 0.05 * rng.standard_normal(len(t)))).astype(np.float32)


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> tuple[Path, Path]:
    """A validation set of two packages, and a set of words one of which is in writing."""
    folder = tmp_path_factory.mktemp("sets")
    packages = {}
    for name in ("pushover-data", "sonic-pi-samples", "pocketsphinx-testdata"):
        (folder / name).mkdir()
        packages[name] = Package(folder / name)
    for number in range(3):
        soundfile.write(folder / "pushover-data" / f"tune{number}.wav", sound(4.5, number), RATE)
        soundfile.write(folder / "sonic-pi-samples" / f"hit{number}.flac", sound(4.2, 10 + number), RATE)
    for name in ("said", "shouted"):
        soundfile.write(folder / "pocketsphinx-testdata" / f"{name}.wav", sound(2.5, len(name), 16000), 16000)
    judged = [
        Source("validation", "music", "tunes", "pushover-data", "GPL-3+", ("*",), clips=3, cut=5),
        Source("validation", "speech", "hits", "sonic-pi-samples", "MIT", ("*",), clips=3),
    ]
    words = Source("words", "speech", "talk", "pocketsphinx-testdata", "BSD-2-clause", ("*",), clips=2,
                   texts=(("said", "it is 22 degrees"),))  # fmt: skip
    build(folder / "set", judged, packages, say=lambda line: None)
    build(folder / "words", [words], packages, say=lambda line: None)
    return folder / "set", folder / "words"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(seeded(tiny(causal=True)), path)
    return path


def test_words_are_whole_and_stay_with_their_text(sets):
    clips = word_clips(sets[1])
    assert [clip.split for clip in clips] == ["words", "words"]
    assert [clip.seconds for clip in clips] == [pytest.approx(2.5, abs=0.001)] * 2
    assert sorted(clip.text for clip in clips) == ["", "it is 22 degrees"]
    assert not (sets[1] / "train").exists()
    assert not (sets[1] / "validation").exists()


def test_words_go_to_machines_that_can_download_nothing(sets, tmp_path):
    pack(sets[1], tmp_path / "words.tar")
    unpack(tmp_path / "words.tar", tmp_path / "words")
    there, here = word_clips(tmp_path / "words"), word_clips(sets[1])
    assert [(clip.name, clip.sha256, clip.text) for clip in there] == [(c.name, c.sha256, c.text) for c in here]


def test_the_same_clips_are_chosen_on_every_run(sets):
    some = validation_clips(sets[0], 3, 2.0)
    assert some == validation_clips(sets[0], 3, 2.0)
    assert sorted({clip.kind for clip in some}) == ["music", "speech"]
    assert [clip.seconds for clip in some] == [2.0] * len(some)
    assert [len(clip.read()) for clip in some] == [clip.samples for clip in some]
    everything = validation_clips(sets[0])
    assert len(everything) == 6
    assert {clip.name for clip in some} < {clip.name for clip in everything}
    short = {clip.name: clip.sha256 for clip in some}
    assert [clip.name for clip in everything if short.get(clip.name) == clip.sha256] == []


@given(st.integers(1, 12), st.permutations(range(9)))
def test_the_choice_is_even_and_ignores_the_order(count, order):
    rows = [{"path": f"{n}.flac", "kind": "abc"[n % 3], "group": f"{n % 2}"} for n in range(9)]
    taken = chosen([rows[n] for n in order], count)
    assert taken == chosen(rows, count)
    assert len(taken) == min(count, 9)
    numbers = [sum(row["kind"] == kind for row in taken) for kind in "abc"]
    assert max(numbers) - min(numbers) <= 1


def test_a_set_is_found_by_its_manifest_and_one_without_clips_is_refused(sets):
    assert find_validation(sets[0] / "manifest.csv", Path("nowhere")) == sets[0]
    with pytest.raises(QualityError, match="no validation clips"):
        validation_clips(sets[1])
    with pytest.raises(QualityError, match="no words"):
        word_clips(sets[0])


@needs_ffmpeg
def test_g722_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(2, rate=16000), 16000)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-c:a", "g722", "-f", "g722", tmp_path / "a.g722"]
    subprocess.run(command, check=True, timeout=PATIENCE)
    assert audio.probe(tmp_path / "a.g722") is None
    assert audio.probe(tmp_path / "a.g722", 16000) == audio.Info(2.0, 16000)
    pcm, was = audio.read(tmp_path / "a.g722"), audio.read(tmp_path / "a.wav")
    assert pcm is not None
    assert was is not None
    assert len(pcm) == len(was) == 2 * RATE
    lag = shift(was, pcm)
    assert 0 <= lag < 0.003 * RATE  # its filters' delay, which the format does not take off


def shift(x: np.ndarray, y: np.ndarray) -> int:
    """By how many samples ``y`` comes later than ``x``."""
    size = 2 * len(x)
    spectrum = np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size)
    lag = int(np.argmax(np.fft.irfft(spectrum, size)))
    return lag if lag < len(x) else lag - size


@needs_ffmpeg
@pytest.mark.parametrize("samples", [RATE * 2, 40001, 30337])
def test_opus_comes_back_in_place_and_as_long(samples):
    pcm = sound(2)[:samples]
    for kbps, near in ((96, 0), (24, 3), (12, 8)):
        back, bits = opus.through_opus(pcm, kbps)
        assert back.shape == pcm.shape
        assert back.dtype == np.float32
        assert abs(shift(pcm, back)) <= near
        assert 0.5 * kbps < bits / 1000 / (samples / RATE) < 1.6 * kbps
    assert opus.encoder().startswith("libopus of ffmpeg ")


def test_without_ffmpeg_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(opus.shutil, "which", lambda name: None)
    with pytest.raises(QualityError, match=r"ffmpeg is not here.*--opus none"):
        opus.encoder()


def test_the_payload_is_counted_without_headers():
    def page(position: int, packets: list[int]) -> bytes:
        head = b"OggS\0\0" + position.to_bytes(8, "little") + bytes(12)
        return head + bytes([len(packets), *packets]) + bytes(sum(packets))

    assert opus.payload(page(0, [19]) + page(0, [60, 7]) + page(960, [100, 20]) + page(1920, [255, 3])) == 378


def test_everyone_is_scored_on_the_same_samples(weights):
    codec, pcm = Codec(seeded(tiny(causal=True))), sound(0.5)[:21001]
    wanted = [System("original"), System("ours", codec.n_codebooks), System("ours", 1)]
    original, full, one = results(pcm, wanted, codec)
    assert np.array_equal(original.pcm, pcm)
    assert full.pcm.shape == one.pcm.shape == pcm.shape
    codes = codec.encode(pcm)
    assert np.array_equal(full.codes, codes)
    assert np.array_equal(one.pcm, codec.decode(codes[:1])[: len(pcm)])
    assert full.bits == codec.n_codebooks * one.bits == codes.size * np.log2(codec.config.codebook_size)


def test_rows():
    names = [system.name for system in systems(9, (6, 4, 12), (8, 16))]
    assert names == ["original", "ours, 9 codebooks", "ours, 6 codebooks", "ours, 4 codebooks", "Opus 16", "Opus 8"]
    assert [system.kind for system in systems(9, (), (), 4)] == ["original", "ours", "rival"]
    with pytest.raises(QualityError, match="1 or more"):
        systems(9, (0,), ())


def test_light_metrics():
    x, y = sound(1), 0.1 * np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    judge = Judge(("mel", "si_sdr", "pesq", "estoi"))
    assert judge(x, x, "validation", "music") == {"mel": 0.0, "si_sdr": None}
    worse, better_ = judge(x, y, "validation", "music"), judge(x, x + 0.01 * y, "validation", "music")
    assert worse["mel"] > better_["mel"] > 0
    assert worse["si_sdr"] < better_["si_sdr"]
    assert better_["si_sdr"] == pytest.approx(20 * np.log10(np.linalg.norm(x) / np.linalg.norm(0.01 * y)), abs=0.1)
    with pytest.raises(QualityError, match="samples were to be scored"):
        judge(x, y[:-1], "validation", "music")


def test_speech_metrics_are_for_speech_alone(monkeypatch):
    judge = Judge(("mel", "pesq", "estoi", "wer"))
    for name in ("mel", "pesq", "estoi"):
        monkeypatch.setattr(Judge, f"_{name}", lambda self, x, y: 1.0)
    x = sound(0.1)
    assert set(judge(x, x, "validation", "speech")) == {"mel", "pesq", "estoi"}
    assert set(judge(x, x, "validation", "sound")) == {"mel"}
    assert set(judge(x, x, "words", "speech")) == {"pesq", "estoi"}


def test_metrics_that_are_unknown_or_not_installed(monkeypatch):
    assert check_metrics(["si_sdr", "mel"]) == ("mel", "si_sdr")
    with pytest.raises(QualityError, match="loudness"):
        check_metrics(["loudness"])
    monkeypatch.setitem(metrics.PACKAGES, "mel", "no_such_package")
    with pytest.raises(QualityError, match="no_such_package for mel is not installed"):
        check_metrics(["mel"])


def test_usage_and_entropy():
    counts = np.array([[1, 1, 1, 1], [4, 0, 0, 0], [2, 2, 0, 0]])
    assert usage(counts) == {"used": [1.0, 0.25, 0.5], "entropy": [2.0, 0.0, 1.0]}


def test_clips_are_judged_in_processes_and_added_up(sets, weights, tmp_path):
    clips = [*validation_clips(sets[0], 3, 1.0), *word_clips(sets[1], 1)]
    codec = Codec(seeded(tiny(causal=True)))
    compared = systems(codec.n_codebooks, (1,), (), codec.n_codebooks)
    task = judging.Task(str(weights), str(weights), tuple(compared), ("mel", "si_sdr"))
    judged = list(judging.judge_all(task, clips, 2))
    about = {"codec": {"name": "small", "hash": "0" * 64, "trained": False, "codebook_size": 1024}}
    report = make_report(judged, compared, task.metrics, about)
    write_report(tmp_path / "quality.json", report)
    assert read_report(tmp_path / "quality.json") == report
    assert [clip["split"] for clip in report["clips"]] == ["validation"] * 3 + ["words"]
    rows = {row["name"]: row for row in report["systems"]}
    full = rows[f"ours, {codec.n_codebooks} codebooks"]
    one = {clip.name: clip for clip in clips}[report["clips"][0]["name"]].read()
    back = codec.decode(codec.encode(one))[: len(one)]
    here = Judge(("mel",))(one, back, "validation", "music")["mel"]
    assert report["clips"][0]["scores"][full["name"]]["mel"] == pytest.approx(here, rel=1e-4)
    assert full["scores"]["mel"]["clips"] == 3
    assert full["kbps"] == pytest.approx(codec.bitrate / 1000, rel=0.05)
    counted = np.zeros((codec.n_codebooks, codec.config.codebook_size), np.int64)
    for clip in clips[:3]:
        for level, codes in enumerate(codec.encode(clip.read())):
            counted[level] += np.bincount(codes, minlength=codec.config.codebook_size)
    assert report["codebooks"] == {"frames": int(counted[0].sum()), **usage(counted)}
    assert comparison.scores_of(report) == comparison.scores_of(report, "rival")
    assert table(report).row_count == len(compared)


def test_means():
    assert mean([2.0]) == {"mean": 2.0, "stderr": None, "clips": 1}
    found = mean([1.0, 2.0, 3.0, 6.0])
    assert found["mean"] == 3.0
    assert found["stderr"] == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2)


def test_the_command_line_measures_without_what_is_not_installed(sets, weights, tmp_path, capsys):
    out, _ = run(capsys, weights, "--data", sets[0], "--out", tmp_path / "out", "--metrics", "mel,si_sdr", "--opus",
                 "none", "--clips", 2, "--seconds", 1, "--codebooks", "1", "--no-pictures", "--json")  # fmt: skip
    report = json.loads(out)
    assert report == read_report(tmp_path / "out" / "quality.json")
    assert [len(clip["scores"]) for clip in report["clips"]] == [3, 3]
    assert report["tools"]["opus"] is None


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--metrics", "mel,loud"], "loud came; wanted some of visqol"),
        (["--clips", "0"], "--clips is 0; wanted 1 or more"),
        (["--opus", "8,many"], "wanted whole numbers"),
        (["--metrics", "mel", "--against", "WEIGHTS"], "wanted visqol and mel in them"),
        (["--metrics", "mel", "--opus", "none", "--data", "nowhere"], "has no manifest.csv"),
    ],
)
def test_the_command_line_refuses_in_a_sentence(weights, capsys, monkeypatch, arguments, match):
    monkeypatch.setattr(metrics, "PACKAGES", {})
    assert match in run(capsys, weights, *(weights if a == "WEIGHTS" else a for a in arguments), code=2)[1]


def test_the_command_starts_and_explains_itself():
    """Without torch, for which one would wait seconds."""
    command = [sys.executable, "-W", "error", "-X", "importtime", "-m", "tools.quality_measure", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "twice the standard error" in " ".join(done.stdout.split()), done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "tools.quality_measure.metrics" in imported, done.stderr
    assert "torch" not in imported
