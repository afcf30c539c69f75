"""The JavaScript client used wrongly, and how much memory a recording of the page takes: in Node, without a server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from streamrvq.tokens import read_tokens
from tests.support.patience import PATIENCE
from tests.support.web.javascript import ROOT, node

#: An hour of frames that come one by one, as a live stream sends them; then a few of fewer codes.
RECORDING = """
import { writeFileSync } from "node:fs";
import { Recording } from %r;
const ready = { codec: "any", codec_hash: "0".repeat(64), trained: true, sample_rate: 44100, hop: 512, codebooks: 9 };
const recording = new Recording(ready, 44100);
const add = (frame, codebooks) => {
  const codes = new Uint16Array(new ArrayBuffer(16 + 2 * codebooks), 16);
  for (let k = 0; k < codebooks; k += 1) codes[k] = (7 * frame + k) %% 1024;
  recording.add({ type: "frames", index: frame, time: 0, count: 1, codebooks, codes });
};
const held = () => (gc(), process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers);
const before = held();
for (let frame = 0; frame < 300_000; frame += 1) add(frame, 9);
console.log((held() - before) / 300_000);
for (let frame = 300_000; frame < 300_010; frame += 1) add(frame, 4);
writeFileSync(process.argv[1], Buffer.from(await recording.file().arrayBuffer()));
"""


def run(*arguments: str) -> str:
    done = subprocess.run([*node(), *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_misuse() -> None:
    run(str(ROOT / "tests" / "support" / "web" / "misuse.mjs"))


def test_a_long_recording_takes_little_more_memory_than_its_codes(tmp_path: Path) -> None:
    file, module = tmp_path / "hour.safetensors", (ROOT / "streamrvq" / "live" / "page" / "recording.js").as_uri()
    a_frame = run("--expose-gc", "--input-type=module", "-e", RECORDING % module, str(file))
    assert float(a_frame) < 2 * 18
    tokens = read_tokens(file)
    frames, levels = np.arange(300_010), np.arange(4)[:, None]
    assert np.array_equal(tokens.codes, (7 * frames + levels) % 1024)
