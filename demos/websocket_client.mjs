// A client of `streamrvq serve` in JavaScript: a file's samples at a microphone's pace, their codes as they come.
//
// node demos/websocket_client.mjs FILE [ws://127.0.0.1:8000]      FILE: 16-bit mono, .wav, or raw at 44.1 kHz
// Node 22 has a WebSocket; an older one needs --experimental-websocket, or a constructor as an option of connect.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../streamrvq/live/page/streamrvq.js";

const file = readFileSync(process.argv[2]);
const wav = file.toString("latin1", 0, 4) === "RIFF";
const sampleRate = wav ? file.readUInt32LE(24) : 44_100;
if (wav && (file.readUInt16LE(22) !== 1 || file.readUInt16LE(34) !== 16)) throw new Error("wanted 16-bit mono");
const at = file.indexOf("data") + 8;
const data = wav ? file.subarray(at, at + file.readUInt32LE(at - 4)) : file;
const pcm = new Int16Array(Uint8Array.from(data).buffer, 0, data.length >> 1);

const stream = await connect(process.argv[3] ?? "ws://127.0.0.1:8000", { sampleRate });
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
