// A client of `streamrvq serve` in JavaScript: a file's samples at a microphone's pace, their codes as they come.
//
// node demos/websocket_client.mjs FILE [ws://127.0.0.1:8000]      FILE: 16-bit mono, .wav, or raw at 44.1 kHz
// Node 22 has a WebSocket. Node 20 has one with `node --experimental-websocket`, or after `npm install ws`.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../streamrvq/live/page/streamrvq.js";

function leave(why) {
  console.error(why);
  process.exit(2);
}

const [name, url = "ws://127.0.0.1:8000"] = process.argv.slice(2);
if (!name) leave("wanted: node demos/websocket_client.mjs FILE [ws://HOST:PORT]");
const WebSocket = globalThis.WebSocket ?? (await import("ws").catch(() => ({}))).WebSocket;
if (!WebSocket) {
  leave(`Node ${process.versions.node} has no WebSocket; take Node 22, --experimental-websocket, or npm install ws`);
}
const file = readFileSync(name);
const wav = file.toString("latin1", 0, 4) === "RIFF";
const sampleRate = wav ? file.readUInt32LE(24) : 44_100;
if (wav && (file.readUInt16LE(22) !== 1 || file.readUInt16LE(34) !== 16)) leave(`${name} is no 16-bit mono .wav file`);
const at = file.indexOf("data") + 8;
const data = wav ? file.subarray(at, at + file.readUInt32LE(at - 4)) : file;
const pcm = new Int16Array(Uint8Array.from(data).buffer, 0, data.length >> 1);

const stream = await connect(url, { sampleRate, WebSocket }).catch((error) => leave(error.message));
console.log(stream.ready.codec, stream.ready.sample_rate, "Hz");

async function send() {
  for (let at = 0; at < pcm.length; at += 480) {
    await stream.send(pcm.subarray(at, at + 480));
    await sleep((480 / sampleRate) * 1000);
  }
  await stream.stop();
}

const sending = send();
for await (const { type, index, count, codebooks, codes } of stream) {
  for (let i = 0; type === "frames" && i < count; i += 1) {
    console.log(index + i, ...codes.subarray(i * codebooks, (i + 1) * codebooks));
  }
}
await sending;
console.log(stream.done);
