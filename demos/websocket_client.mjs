// A client of `streamrvq serve` in JavaScript: a file's samples at a microphone's pace, their codes as they come.
//
// node demos/websocket_client.mjs FILE [ws://127.0.0.1:8000]      FILE: 16-bit mono, .wav, or .raw at 44.1 kHz
// Node 22 has a WebSocket. Node 20 has one with `node --experimental-websocket`, or after `npm install ws`.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../streamrvq/live/page/streamrvq.js";

function leave(why) {
  console.error(`websocket_client.mjs: error: ${why}`);
  process.exit(2);
}

/** The format and the samples of a WAV file: chunks, each with a name, a size and its bytes. */
function wavOf(file) {
  let format = null;
  for (let at = 12; at + 8 <= file.length;) {
    const [name, size] = [file.toString("latin1", at, at + 4), file.readUInt32LE(at + 4)];
    const bytes = file.subarray(at + 8, at + 8 + size);
    if (name === "fmt " && bytes.length >= 16) {
      format = { channels: bytes.readUInt16LE(2), sampleRate: bytes.readUInt32LE(4), bits: bytes.readUInt16LE(14) };
    } else if (name === "data") return { ...format, data: bytes };
    at += 8 + size + (size % 2); // a chunk of odd size is followed by a byte
  }
  return {};
}

const [name, url = "ws://127.0.0.1:8000"] = process.argv.slice(2);
if (!name) leave("wanted: node demos/websocket_client.mjs FILE [ws://HOST:PORT]");
const WebSocket = globalThis.WebSocket ?? (await import("ws").catch(() => ({}))).WebSocket;
if (!WebSocket) {
  leave(`Node ${process.versions.node} has no WebSocket; take Node 22, --experimental-websocket, or npm install ws`);
}
let file;
try {
  file = readFileSync(name);
} catch (error) {
  leave(`${name} cannot be read: ${error.message}`);
}
const raw = { channels: 1, sampleRate: 44_100, bits: 16, data: file };
const { channels, sampleRate, bits, data } = name.toLowerCase().endsWith(".raw") ? raw : wavOf(file);
const riff = data === file || file.toString("latin1", 0, 4) === "RIFF";
if (!riff || channels !== 1 || bits !== 16) leave(`${name} is no 16-bit mono .wav file; wanted one, or samples as .raw`);
const pcm = new Int16Array(Uint8Array.from(data).buffer, 0, data.length >> 1);

process.stdout.on("error", () => process.exit(141)); // who read the codes has gone
const stream = await connect(url, { sampleRate, WebSocket }).catch((error) => leave(error.message));
console.log(stream.ready.codec, stream.ready.sample_rate, "Hz");

async function send() {
  for (let at = 0; at < pcm.length; at += 480) {
    await stream.send(pcm.subarray(at, at + 480));
    await sleep((480 / sampleRate) * 1000);
  }
  await stream.stop();
}

const sending = send().catch(() => {}); // what ends the stream is thrown below, after the last codes
try {
  for await (const { type, index, count, codebooks, codes } of stream) {
    for (let i = 0; type === "frames" && i < count; i += 1) {
      console.log(index + i, ...codes.subarray(i * codebooks, (i + 1) * codebooks));
    }
  }
} catch (error) {
  leave(error.message);
}
await sending;
console.log(stream.done);
