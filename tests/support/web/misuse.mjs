// The JavaScript client used wrongly, without a server. Throws what is wrong with it.

import assert from "node:assert/strict";
import { Recording } from "../../../streamrvq/live/page/recording.js";
import { ResendBuffer } from "../../../streamrvq/live/page/resend.js";
import { connect, InputError, ServiceError } from "../../../streamrvq/live/page/streamrvq.js";

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

// ---------------------------------------------------------------- who waits to send is woken when there is room again

const ahead = await opened({});
const sends = [ahead.send(new Int16Array(88_000 - 80)), ...Array.from({ length: 50 }, () => ahead.send(new Int16Array(1)))];
let waits = 0;
const Native = Promise;
globalThis.Promise = class extends Native {
  static [Symbol.species] = Native; // so that `await` makes no more of them
  constructor(executor) {
    super(executor);
    waits += 1;
  }
};
for (let seq = 0; seq < 50; seq += 1) {
  Fake.all[4].onmessage(frame(seq));
  await new Promise(setImmediate);
}
assert.equal(waits, 50); // those here
globalThis.Promise = Native;
for (let seq = 50; seq < 100; seq += 1) Fake.all[4].onmessage(frame(seq));
await Promise.all(sends);
ahead.close();

// ---------------------------------------------------------------- a server that goes down takes no more, and says so

const leaving = await opened({});
Fake.all[5].onmessage({ data: '{"type":"drain","seconds":5}' });
assert.equal(Fake.all[5].sent.at(-1), '{"type":"stop"}');
const goingDown = (error) => error instanceof ServiceError && error.code === 1012;
for (const call of [() => leaving.send(new Int16Array(1)), () => leaving.gap(1), () => leaving.marker(1)]) {
  await assert.rejects(call, goingDown);
}
await leaving.stop(); // it was said already
assert.equal(Fake.all[5].sent.length, 2);
leaving.close();

// ---------------------------------------------------------------- what is kept until it is answered

const kept = new ResendBuffer(1000);
kept.add(0, 100, new Int16Array(100));
kept.add(100, 100_000, "gap"); // lost samples push nothing out
kept.add(100_100, 80_000, new Int16Array(80_000)); // a minute that waits, and what comes while it is resumed
assert.deepEqual(kept.from(50).map(({ pos, end }) => [pos, end]), [[50, 100], [100, 100_100], [100_100, 180_100]]);
kept.add(180_100, 10_000, new Int16Array(10_000));
assert.equal(kept.from(50), null);
assert.equal(kept.from(100).length, 3);
kept.received(190);
assert.deepEqual([kept.from(190_099).length, kept.from(180_099)], [1, null]);

// ---------------------------------------------------------------- a recording has the samples that were encoded

const recording = new Recording({ sample_rate: 16_000, hop: 64, codebooks: 1 }, 44_100);
recording.add({ count: 119, codebooks: 1, codes: new Uint16Array(119) });
assert.equal(recording.samples, 20_991); // so many at least
recording.finish(20_992); // they are 7616.145 of 16 kHz, which is 119 frames
assert.equal(recording.samples, 20_992);
