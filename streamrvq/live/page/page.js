/**
 * The page: what it shows, and what the user's input does.
 *
 * Knows: the elements of index.html. Does not know: audio, sockets (recorder.js).
 */

import { explain, explainNewStream } from "./error_text.js";
import { HeatMap } from "./heatmap.js";
import { Recorder } from "./recorder.js";
import { RecordingList } from "./recording_list.js";

const $ = (id) => document.getElementById(id);
let frameIsDue = false; // an animation frame was asked for
const map = new HeatMap($("map"), redraw);
const recordings = new RecordingList($("recordings"));
const server = new URL(".", location); // the page may be below a path, such as /codec/
server.protocol = location.protocol === "https:" ? "wss:" : "ws:";
const recorder = new Recorder(server.href, {
  onState: changeState,
  onReady: begin,
  onItem: addItem,
  onSamples: measureLevel,
  onRecording: (recording, started) => (started ? recordings.add(recording) : recordings.update(recording)),
  onPlayerError: (error) => {
    $("listen").checked = false;
    showStatus(`Listening ended. ${explain(error, true, recorder.token)}`, "warning");
  },
});

let state = "idle";
let ready = null; // the server's description of its codec
let newest = null; // the newest frames
let seconds = 0; // of encoded audio
let progress = []; // [time in ms, frames so far, seconds so far], of the last few seconds
let frames = 0;
let peak = 0;
let dropped = false; // sound was lost, since the network was too slow
let shown = -60; // the level on display, dB
let loudest = -60; // dB, since the text was last updated

// ------------------------------------------------------------- states

const STATUS = {
  starting: "Asking for the microphone…",
  connecting: "Connecting to the server…",
  slow: "The network is too slow for this sound: a minute of it waits, and what is said now is lost.",
  live: "Live: what the microphone hears is being encoded.",
  lost: "The connection broke. Trying again; what is said meanwhile is kept.",
  stopping: "Stopping: the last codes are on their way.",
  idle: "Stopped.",
};
const BUTTON = { idle: "Start", starting: "Starting…", connecting: "Starting…", stopping: "Stopping…" };

const PENDING = ["starting", "connecting"]; // before anything was answered

function changeState(next, error) {
  dropped ||= next === "slow";
  const lostSome = "Live again. What could not be sent is lost, and marked as a gap.";
  if (next === "live" && dropped) showStatus(lostSome, "warning");
  else if (next === "live" && state === "lost") showStatus("Live again: nothing was lost.", "good");
  else if (next === "live" && state === "reopening")
    showStatus("Live again, in a new stream. Earlier tokens are kept below.", "good");
  else if (next === "reopening") showStatus(explainNewStream(error), "warning");
  else if (error) showStatus(explain(error, !PENDING.includes(state), recorder.token), "bad");
  else showStatus(STATUS[next], next === "live" ? "good" : ["lost", "slow"].includes(next) ? "warning" : "");
  if (next === "live" && !["lost", "slow"].includes(state)) progress = [];
  if (next === "live" || next === "idle") dropped = false;
  if (next === "idle") showFigures(); // the last frames have come since
  state = next;
  document.body.dataset.state = next;
  $("go").textContent = BUTTON[next] ?? "Stop";
  $("go").setAttribute("aria-disabled", String(next in BUTTON && next !== "idle"));
  if (next === "idle") showIdle(error);
  redraw();
}

function showIdle(error) {
  [peak, shown, loudest] = [0, -60, -60];
  showLevelText();
  if (error?.code === 4401) {
    $("token-form").hidden = false;
    $("token").focus();
    $("token").select(); // what is typed replaces a wrong one
  }
}

function showStatus(text, kind = "") {
  $("status").textContent = text;
  $("status").dataset.kind = kind;
}

function start() {
  [frames, seconds, newest] = [0, 0, null];
  recorder.start();
}

// ------------------------------------------------------------- what the recorder reports

function begin(answer) {
  const sameCodec = ready?.codec_hash === answer.codec_hash;
  ready = answer;
  map.begin(ready.codebooks, ready.codebook_size);
  $("token-form").hidden = true;
  $("empty").hidden = true;
  const untrained = ready.trained ? "" : ", untrained weights";
  $("codec").textContent = `${ready.codec}, ${ready.sample_rate / 1000} kHz${untrained}`;
  if (!sameCodec) {
    $("newest").replaceChildren(...Array.from({ length: ready.codebooks }, () => document.createElement("li")));
    $("newest").dataset.many = String(ready.codebooks > 16);
    const levels = recorder.nQuantizers ?? ready.codebooks; // what the user has chosen counts for another codec, too
    [$("levels").max, $("levels").value, $("levels").disabled] = [ready.codebooks, levels, false];
  }
  showLevels();
  showReach();
}

function addItem(item) {
  if (item.type === "gap") return map.markGap();
  if (item.type !== "frames") return;
  map.push(item);
  newest = item;
  frames += item.count;
  seconds += (item.count * ready.hop) / ready.sample_rate;
}

function measureLevel(samples) {
  for (const value of samples) peak = Math.max(peak, Math.abs(value));
}

// ------------------------------------------------------------- input

$("go").addEventListener("click", () => {
  if (state === "idle") start();
  else if (!(state in BUTTON)) recorder.stop();
});
$("levels").addEventListener("input", () => {
  recorder.set(Number($("levels").value));
  showLevels();
});
$("listen").addEventListener("change", () => recorder.listen($("listen").checked));
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  recorder.token = $("token").value;
  $("go").focus();
  if (state === "idle") start();
});

// ------------------------------------------------------------- display

function showLevels() {
  const levels = Number($("levels").value);
  $("levels-text").textContent = `${levels} of ${ready.codebooks}`;
  const bits = levels * Math.log2(ready.codebook_size) * (ready.sample_rate / ready.hop);
  $("bitrate").textContent = `${(bits / 1000).toFixed(2)} kbit/s`;
}

function showReach() {
  const length = ready ? `${((map.columns * ready.hop) / ready.sample_rate).toFixed(1)} s` : "";
  $("reach").textContent = map.reducedMotion.matches ? `${length} a sweep` : length && `${length} ago`;
  $("here").textContent = map.reducedMotion.matches || !ready ? "" : "now";
}

const milliseconds = (value) => (value == null ? "–" : `${(value * 1000).toFixed(1)} ms`);

/** Called four times a second, which is as often as one can read. */
function showFigures() {
  if (state === "idle" || !ready) return;
  const now = performance.now();
  progress.push([now, frames, seconds]);
  if (progress.length > 16) progress.shift();
  const [then, before, earlier] = progress[0];
  const passed = (now - then) / 1000;
  const { latencyP50, latencyP99 } = recorder.stats() ?? {};
  $("p50").textContent = milliseconds(latencyP50);
  $("p99").textContent = milliseconds(latencyP99);
  if (passed > 1) {
    $("fps").textContent = ((frames - before) / passed).toFixed(1);
    $("pace").textContent = `${((seconds - earlier) / passed).toFixed(2)} ×`;
  }
  const tenths = Math.round(10 * seconds);
  $("elapsed").textContent = `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
  const at = newest ? (newest.count - 1) * newest.codebooks : 0;
  for (const [k, cell] of [...$("newest").children].entries()) {
    cell.textContent = newest && k < newest.codebooks ? newest.codes[at + k] : "·";
  }
  recordings.refresh();
}

function showLevel() {
  const now = peak > 0 ? Math.max(-60, 20 * Math.log10(peak)) : -60;
  shown = Math.max(now, shown - 0.8); // falls slowly
  loudest = Math.max(loudest, shown);
  peak = 0;
  $("bar").style.transform = `scaleX(${(shown + 60) / 60})`;
}

function showLevelText() {
  const value = Math.round(loudest);
  loudest = shown;
  $("level").setAttribute("aria-valuenow", value);
  $("level").setAttribute("aria-valuetext", state === "idle" ? "off" : `${value} decibels`);
  $("level-text").textContent = state === "idle" ? "–" : `${value} dB`.replace("-", "−");
}

/** Draw in the next animation frame. */
function redraw() {
  if (frameIsDue) return;
  frameIsDue = true;
  requestAnimationFrame(draw);
}

function draw() {
  frameIsDue = false;
  map.draw();
  showLevel();
  if (state !== "idle") redraw(); // the level moves all the time; an idle page costs nothing
}

setInterval(() => {
  showFigures();
  showLevelText();
}, 250);
addEventListener("resize", showReach);
