// The JavaScript client used wrongly, without a server. Throws what is wrong with it.

import assert from "node:assert/strict";
import { connect, InputError } from "../../../streamrvq/live/page/streamrvq.js";

const READY = {
  type: "ready", version: 1, session: "5e", codec: "none", sample_rate: 8000, hop: 80, codebooks: 3,
  codebook_size: 16, max_message: 4096,
};

class Fake {
  static all = [];
  readyState = 1;
  sent = [];
  constructor() {
    Fake.all.push(this);
    queueMicrotask(() => (this.onopen(), this.onmessage({ data: JSON.stringify(READY) })));
  }
  send(data) {
    this.sent.push(data);
  }
  close() {
    this.readyState = 3;
  }
}
const opened = (options) => connect("ws://server/", { WebSocket: Fake, ...options });

function frame(seq) {
  const data = new ArrayBuffer(18);
  const header = new DataView(data);
  [header.setUint8(0, 2), header.setUint16(2, 1, true), header.setUint32(4, seq, true)];
  header.setBigUint64(8, BigInt(seq), true);
  return { data };
}

// ---------------------------------------------------------------- options that would count as left out, or end at once

for (const [options, words] of [
  [{ sampleRate: NaN }, "sampleRate is NaN"], [{ sampleRate: Infinity }, "sampleRate is Infinity"],
  [{ nQuantizers: NaN }, "nQuantizers is NaN"], [{ sample_rate: 16000 }, "there is no option sample_rate"],
  [{ timeout: 1e10 }, "timeout is 10000000000"], [{ timeout: 0 }, "timeout is 0"], [{ timeout: NaN }, "timeout is NaN"],
]) {
  const refusal = (error) => error instanceof InputError && error.message.startsWith(words);
  await assert.rejects(opened(options), refusal, words);
}
assert.equal(Fake.all.length, 0);
for (const url of ["server", "ws://server/#part", undefined]) {
  const refusal = (error) => error instanceof InputError && error.message.includes("wanted ws://HOST:PORT/");
  await assert.rejects(connect(url), refusal, `${url}`);
}

// ---------------------------------------------------------------- codes that are none

const decoding = await opened({ mode: "decode", timeout: undefined });
for (const block of [null, undefined, { codes: new Uint16Array(3), codebooks: 1.5 }, { codes: [1], codebooks: 1 }]) {
  await assert.rejects(decoding.send(block), InputError);
}
assert.equal(Fake.all[0].sent.length, 1); // start
decoding.close();

// ---------------------------------------------------------------- two readers: each item once, the end for neither

const shared = await opened({});
const first = shared.next();
Fake.all[1].onmessage(frame(0));
const second = await shared.next(); // takes it before the first one wakes
await new Promise(setImmediate);
Fake.all[1].onmessage(frame(1));
const read = [await first, second];
assert.deepEqual(read.map(({ done }) => done), [false, false]);
assert.deepEqual(read.map(({ value }) => value.index).sort(), [0, 1]);
shared.close();

// ---------------------------------------------------------------- a callback that fails ends the stream

const failing = await opened({
  onconnection: () => {
    throw new RangeError("the page's own");
  },
});
const waiting = failing.next();
Fake.all[2].onclose({ code: 1006, reason: "" });
await assert.rejects(waiting, RangeError);

// ---------------------------------------------------------------- a marker's characters, as the server counts them

const marked = await opened({});
await marked.marker("😀".repeat(64));
await assert.rejects(marked.marker("😀".repeat(65)), InputError);
await assert.rejects(marked.marker(1.5), InputError);
assert.equal(Fake.all[3].sent.length, 2); // start, and the first of them
marked.close();
