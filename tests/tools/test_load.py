"""tools/load and tools/soak: what they report about a good server, and that they detect a bad one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamrvq.weights import save_weights
from tests.support.contract import weights_of
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL
from tools.load_test.clients.faults import KINDS

#: A server that fails, in place of `streamrvq serve`: once a number of frames have come, one of them is ...
FAULTY = """
import sys
import numpy as np
from streamrvq.cli import main
from streamrvq.live.server.modes import ServedEncoder
from streamrvq.live.server.outbox import CodesOutbox

sink, take = ServedEncoder._on_output, CodesOutbox.next

def wrong(self, data, last):
    if self.outbox.pos <= 100 < self.outbox.pos + data.shape[1]:
        data = data.copy()
        data[1, 100 - self.outbox.pos] ^= 1
    sink(self, data, last)

def shifted(self, data, last):
    if self.outbox.pos >= 100 and data.shape[1] and not hasattr(self, "less"):
        data, self.less = data[:, 1:], True
    if last:
        data = np.concatenate([data, np.zeros((3, 1), int)], 1)
    sink(self, data, last)

def silent(self):
    message = take(self)
    if isinstance(message, bytes) and self._outgoing.pos >= 100 and not hasattr(self, "less"):
        self.less = True
        return take(self)
    return message

if sys.argv[1] == "silent":
    CodesOutbox.next = silent
else:
    ServedEncoder._on_output = {"wrong": wrong, "shifted": shifted}[sys.argv[1]]
main(sys.argv[2:])
"""

#: A server that gives clients more time when it stops: on a busy machine they, and it, may need that.
PATIENT = """
import functools, sys
from streamrvq.cli import main
from streamrvq.live.server import settings

settings.ServerSettings = functools.partial(settings.ServerSettings, drain_timeout=12.0, stop_timeout=25.0)
main(sys.argv[1:])
"""

#: The tool with half of its turns of service and engine: each lasts until the server has renewed its figures twice.
TWO_TURNS = """
import sys
from tools.load_test.__main__ import main
from tools.load_test.modes import throughput

assert throughput._TURNS == 4
throughput._TURNS = 2
sys.exit(main())
"""

#: The tool on a machine that stands still, just before it looks at the server's figures, until the run should be over.
STALLED = """
import sys, time
from tools.load_test.__main__ import main
from tools.load_test.servers.process import ServerProcess

reading = ServerProcess.reading

async def late(self):
    ServerProcess.reading = reading
    time.sleep(3)
    return await reading(self)

ServerProcess.reading = late
sys.exit(main())
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(weights_of(CAUSAL.config), path)
    return path


def load(
    *arguments: object, soak: bool = False, tool: tuple[str, str] = ("-m", "tools.load_test")
) -> subprocess.Popen[bytes]:
    """The tool in a process of its own, as it is used."""
    command = [sys.executable, "-W", "error", *tool, *(["--soak"] if soak else []), "--json"]
    return subprocess.Popen([*command, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def outcome(process: subprocess.Popen[bytes]) -> Any:
    """Its document, whose ``good`` is what its exit code says."""
    out, err = process.communicate(timeout=5 * PATIENCE)
    assert process.returncode in (0, 1), err.decode()
    document = json.loads(out)
    assert (process.returncode == 0) == document["good"], document
    assert document["good"] == all(check["good"] for check in document["checks"]), document
    return document


def checks_of(document: Any) -> dict[str, bool]:
    return {check["name"]: check["good"] for check in document["checks"]}


def failing(document: Any) -> dict[str, str]:
    """Failed checks: name → what was found."""
    return {check["name"]: check["words"] for check in document["checks"] if not check["good"]}


def test_good_servers(weights: Path, tmp_path: Path) -> None:
    (script := tmp_path / "patient.py").write_text(PATIENT)
    patient = ("--server", f"{sys.executable} {script}")
    impatient = ("--send-timeout", 1, "--block", 256)
    common = ("--codec", weights, *impatient)
    runs = [
        load(*common, "--streams", 9, "--minutes", 0.1, "--faults", 0.34, "--period", 2.5, "--flat", 1e6, soak=True),
        load("--null", "--streams", 6, "--seconds", 2, "--rate", 48_000, "--bound"),
        load("--tiny", *impatient, *patient, "--streams", 6, "--seconds", 3, "--drain"),
        load(*common, "--streams", 3, "--seconds", 0.6, "--throughput", tool=("-c", TWO_TURNS)),
    ]
    soak, null, drain, throughput = map(outcome, runs)
    # What a busy machine decides may fail; nothing else may.
    busy = {"the load kept pace", "nobody else's p99 moves by more than a hop", "memory is flat"}
    assert {name: words for name, words in failing(soak).items() if name not in busy} == {}
    assert set(soak["faults"]) == set(KINDS)
    assert soak["resumed"] >= 1
    assert soak["drops"] == 0
    assert soak["codes"]["checked"] > 5000
    assert soak["trend"]["samples"] >= 3
    assert null["codes"]["wrong"] == null["codes"]["missing_frames"] == null["drops"] == 0
    assert null["codec"] == "null"
    assert null["codes"]["checked"] > 6 * 9 * 100
    assert null["rtf"] is not None
    latency = "latency within step + gather + 5 ms"
    assert latency in checks_of(null)
    assert failing(null).keys() <= {latency, "the load kept pace"}, null
    assert len(checks_of(drain)) == 5, drain
    assert failing(drain).keys() <= {"gone within 10 s"}, drain
    assert drain["codec"] == "tiny", drain
    assert drain["streams"] == {"answering": 4, "silent": 1, "deaf": 1}
    assert throughput["codes"]["wrong"] == 0
    assert throughput["codes"]["checked"] > 1000
    assert throughput["share"] > 0
    assert len(throughput["turns"]) == 2
    assert failing(throughput).keys() <= {"service keeps the bare engine's speed"}, throughput


def test_a_run_on_a_machine_that_stands_still(weights: Path) -> None:
    """It goes on until all was measured, and until every fault has happened."""
    faults = ("--faults", 0.34, "--period", 0.5, "--flat", 1e6)
    runs = [
        load("--null", "--streams", 2, "--seconds", 1, tool=("-c", STALLED)),
        load("--codec", weights, "--block", 256, "--streams", 7, "--minutes", 1 / 60, *faults, "--send-timeout", 1,
             soak=True, tool=("-c", STALLED)),
    ]  # fmt: skip
    null, soak = map(outcome, runs)
    assert null["seconds"] > 3
    assert null["rtf"] is not None
    assert null["codes"]["wrong"] == null["codes"]["missing_frames"] == null["drops"] == 0
    assert soak["seconds"] > 3
    assert sum(soak["faults"].values()) == 4
    assert soak["trend"]["samples"] >= 4
    assert soak["codes"]["wrong"] == soak["codes"]["missing_frames"] == soak["drops"] == 0


def test_an_attacked_server() -> None:
    names = ("handshakes", "gaps", "decode-amplify", "parked")
    document = outcome(load("--null", "--attack", ",".join(names), "--streams", 3, "--seconds", 1.5))
    assert len(document["checks"]) == 11 * len(names)
    for name in names:
        figures = document[name]
        assert figures["attack"]["attempts"] > 0, name
        assert figures["codes"]["wrong"] == figures["codes"]["missing_frames"] == figures["drops"] == 0, name
        assert figures["codes"]["checked"] > 3 * 9 * 50, name
        assert figures["fresh_clients"]["came"] > 0, name
        assert figures["fresh_clients"]["wrong"] == 0, name
        good = {check["name"]: check["good"] for check in document["checks"]}
        # What a busy machine decides, or the server, may fail; these may not.
        assert good[f"{name}: every code equals offline"]
        assert good[f"{name}: the attack happened"]
        assert {f"{name}: {check}" for check in (
            "p99 moves by at most a hop", "latency comes back", "memory grows little and comes back",
            "whoever has the token gets in", "the log is short and has no error", "file descriptors come back",
        )} <= set(good)  # fmt: skip


@pytest.mark.parametrize("fault", ["wrong", "shifted", "silent"])
def test_bad_servers_are_found(weights: Path, tmp_path: Path, fault: str) -> None:
    script = tmp_path / "faulty.py"
    script.write_text(FAULTY)
    server = f"{sys.executable} {script} {fault}"
    document = outcome(load("--codec", weights, "--streams", 2, "--seconds", 1, "--server", server))
    checks = checks_of(document)
    if fault == "wrong":
        assert document["codes"]["wrong"] == 2
        assert checks["no drop"]
        assert "frame 100, level 1" in document["checks"][0]["words"]
    elif fault == "shifted":
        assert document["codes"]["wrong"] > 300
        assert document["codes"]["missing_frames"] == 0
        assert checks["no drop"]
    else:
        assert not checks["no drop"]
        assert "broken  message" in document["checks"][1]["words"]
    assert not document["good"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--streams", 0), "streams is 0"),
        (("--faults", 2), "faults is 2"),
        (("--rate", "fast"), "--rate is 'fast'"),
        (("--rate", 0), "rate is 0; wanted a whole number of at least 1"),
        (("--null", "--drain", "--streams", 2), "2 streams with --drain, of which 1 never read and 1 only stop"),
        (("--null", "--drain", "--faults", 0.5), "wanted more streams than that, or a smaller share of --faults"),
        (("--streams", 1, "--faults", 0.5), "wanted more streams"),
        (("--codec", "no-such-codec"), "no-such-codec"),
        (("--null", "--server", "false"), "the server did not start"),
        (("--null", "--server", "no-such-server"), "no-such-server cannot be started (No such file or directory)"),
        (("--null", "--server", "'a"), '--server is "\'a" (No closing quotation)'),
        (("--null", "--options", "'a"), "--options is"),
        (("--attack", "header"), "--attack is 'header'"),
        (("--null", "--attack", "pings", "--faults", 0.5), "--faults with --attack"),
        (("--null", "--throughput", "--faults", 0.5), "--faults with --throughput"),
        (("--null", "--throughput", "--device", "cuda"), "--device with --throughput"),
        (("--null", "--throughput", "--bound"), "--bound with --throughput"),
        (("--null", "--drain", "--bound"), "--bound with --drain"),
        (("--null", "--attack", "pings", "--bound"), "--bound with --attack"),
        (("--null", "--addresses", 2), "--addresses 2 without --attack"),
        (("--engine", "torch", "--device", "cuda"), "--engine torch with --device cuda"),
        (("--null", "--attack", "pings", "--addresses", 0), "--addresses is 0"),
    ],
)
def test_what_cannot_be_run(arguments: tuple[object, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    from tools.load_test.__main__ import main

    assert main([str(argument) for argument in arguments]) == 2
    assert words in capsys.readouterr().err
