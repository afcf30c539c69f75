/**
 * The page: what is shown, and what is pressed.
 *
 * Knows: the elements of index.html. Does not know: audio, sockets (session.js).
 */

import { HeatMap } from "./heatmap.js";
import { Session } from "./session.js";
import { Takes } from "./takes.js";
import { anew, sentence } from "./words.js";

const $ = (id) => document.getElementById(id);
const map = new HeatMap($("map"));
const takes = new Takes($("takes"));
const session = new Session(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`, {
  state: changed,
  ready: begin,
  item: came,
  heard,
  take: (take, started) => (started ? takes.add(take) : takes.update(take)),
  deaf: (error) => {
    $("listen").checked = false;
    say(`Listening ended. ${sentence(error)}`, "warning");
  },
});

let state = "idle";
let ready = null; // what the server said about its codec
let newest = null; // the newest frames
let seconds = 0; // encoded
let arrivals = []; // [time in ms, frames so far, seconds so far], of the last few seconds
let frames = 0;
let peak = 0;
let shown = -60; // dB
let loudest = -60; // since it was last said

// ------------------------------------------------------------- states

const SAID = {
  starting: "Asking for the microphone…",
  live: "Live: what the microphone hears is being encoded.",
  lost: "The connection broke. Trying again; what is said meanwhile is kept.",
  stopping: "Stopping: the last codes are on their way.",
  idle: "Stopped.",
};
const BUTTON = { idle: "Start", starting: "Starting…", stopping: "Stopping…" };

function changed(next, error) {
  if (next === "live" && state === "lost") say("Live again: nothing was lost.", "good");
  else if (next === "live" && state === "again")
    say("Live again, in a new stream. Earlier tokens are kept below.", "good");
  else if (next === "again") say(anew(error), "warning");
  else if (error) say(sentence(error), "bad");
  else say(SAID[next], next === "live" ? "good" : next === "lost" ? "warning" : "");
  if (next === "live" && state !== "lost") arrivals = [];
  state = next;
  document.body.dataset.state = next;
  $("go").textContent = BUTTON[next] ?? "Stop";
  $("go").setAttribute("aria-disabled", String(next === "starting" || next === "stopping"));
  if (next === "idle") ended(error);
}

function ended(error) {
  [peak, shown, loudest] = [0, -60, -60];
  meterText();
  if (error?.code === 4401) {
    $("token-form").hidden = false;
    $("token").focus();
  }
}

function say(text, kind = "") {
  $("status").textContent = text;
  $("status").dataset.kind = kind;
}

function start() {
  [frames, seconds, newest] = [0, 0, null];
  session.start();
}

// ------------------------------------------------------------- what comes

function begin(answer) {
  const same = ready?.codec_hash === answer.codec_hash;
  ready = answer;
  map.begin(ready.codebooks, ready.codebook_size);
  $("token-form").hidden = true;
  $("empty").hidden = true;
  const untrained = ready.trained ? "" : ", untrained weights";
  $("codec").textContent = `${ready.codec}, ${ready.sample_rate / 1000} kHz${untrained}`;
  if (!same) {
    $("newest").replaceChildren(...Array.from({ length: ready.codebooks }, () => document.createElement("li")));
    $("newest").dataset.many = String(ready.codebooks > 16);
    [$("levels").max, $("levels").value, $("levels").disabled] = [ready.codebooks, ready.codebooks, false];
  }
  showLevels();
  showReach();
}

function came(item) {
  if (item.type === "gap") return map.mark();
  if (item.type !== "frames") return;
  map.push(item);
  newest = item;
  frames += item.count;
  seconds += (item.count * ready.hop) / ready.sample_rate;
}

function heard(samples) {
  for (const value of samples) peak = Math.max(peak, Math.abs(value));
}

// ------------------------------------------------------------- what is pressed

$("go").addEventListener("click", () => {
  if (state === "idle") start();
  else if (state !== "starting" && state !== "stopping") session.stop();
});
$("levels").addEventListener("input", () => {
  session.set(Number($("levels").value));
  showLevels();
});
$("listen").addEventListener("change", () => session.listen($("listen").checked));
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  session.token = $("token").value;
  $("go").focus();
  if (state === "idle") start();
});

// ------------------------------------------------------------- what is shown

function showLevels() {
  const levels = Number($("levels").value);
  $("levels-text").textContent = `${levels} of ${ready.codebooks}`;
  const bits = levels * Math.log2(ready.codebook_size) * (ready.sample_rate / ready.hop);
  $("bitrate").textContent = `${(bits / 1000).toFixed(2)} kbit/s`;
}

function showReach() {
  const length = ready ? `${((map.columns * ready.hop) / ready.sample_rate).toFixed(1)} s` : "";
  $("reach").textContent = map.still.matches ? `${length} a sweep` : length && `${length} ago`;
  $("here").textContent = map.still.matches || !ready ? "" : "now";
}

const milliseconds = (value) => (value == null ? "–" : `${(value * 1000).toFixed(1)} ms`);

/** Four times a second: more could not be read. */
function figures() {
  if (state === "idle" || !ready) return;
  const now = performance.now();
  arrivals.push([now, frames, seconds]);
  if (arrivals.length > 16) arrivals.shift();
  const [then, before, earlier] = arrivals[0];
  const passed = (now - then) / 1000;
  const { latencyP50, latencyP99 } = session.stats() ?? {};
  $("p50").textContent = milliseconds(latencyP50);
  $("p99").textContent = milliseconds(latencyP99);
  if (passed > 1) {
    $("fps").textContent = ((frames - before) / passed).toFixed(1);
    $("pace").textContent = `${((seconds - earlier) / passed).toFixed(2)} ×`;
  }
  $("clock").textContent = `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  const at = newest ? (newest.count - 1) * newest.codebooks : 0;
  for (const [k, cell] of [...$("newest").children].entries()) {
    cell.textContent = newest && k < newest.codebooks ? newest.codes[at + k] : "·";
  }
  takes.refresh();
}

function meter() {
  const now = peak > 0 ? Math.max(-60, 20 * Math.log10(peak)) : -60;
  shown = Math.max(now, shown - 0.8); // falls slowly
  loudest = Math.max(loudest, shown);
  peak = 0;
  $("bar").style.transform = `scaleX(${(shown + 60) / 60})`;
}

function meterText() {
  const value = Math.round(loudest);
  loudest = shown;
  $("level").setAttribute("aria-valuenow", value);
  $("level").setAttribute("aria-valuetext", state === "idle" ? "off" : `${value} decibels`);
  $("level-text").textContent = state === "idle" ? "–" : `${value} dB`.replace("-", "−");
}

(function draw() {
  map.draw();
  meter();
  requestAnimationFrame(draw);
})();
setInterval(() => {
  figures();
  meterText();
}, 250);
addEventListener("resize", showReach);
