// The page's worklets as an audio thread runs them, without one: quanta of samples in, quanta out. Throws what is wrong.

import assert from "node:assert/strict";

const processors = {};
Object.assign(globalThis, {
  sampleRate: 1000, // few samples a second, for short tests
  currentFrame: 0,
  currentTime: 0,
  registerProcessor: (name, kind) => (processors[name] = kind),
  AudioWorkletProcessor: class {
    port = {
      reports: [],
      postMessage: (message, given) => this.port.reports.push(structuredClone(message, { transfer: given })),
    };
  },
});
await import("../../streamrvq/live/page/capture.js");
await import("../../streamrvq/live/page/playback.js");

const ramp = (first, count) => Float32Array.from({ length: count }, (_, i) => first + i);

// ---------------------------------------------------------------- capture: every sample once, whatever the quantum

for (const quantum of [128, 1, 100, 256, 300, 1000]) {
  const capture = new processors["streamrvq-capture"]();
  for (currentFrame = 512; currentFrame < 9000; currentFrame += quantum) {
    assert.equal(capture.process([[ramp(currentFrame, quantum)]]), true);
  }
  const blocks = capture.port.reports;
  assert.ok(blocks.length >= 31);
  blocks.forEach(({ first, samples }, i) => {
    assert.equal(first, 512 + 256 * i);
    assert.deepEqual(samples, ramp(first, 256));
  });
  assert.equal(capture.process([[]]), true, "nothing is connected, yet it continues");
  assert.equal(capture.port.reports.length, blocks.length);
}

// ---------------------------------------------------------------- playback: a ring with a pre-roll of 60 samples here

function player() {
  const node = new processors["streamrvq-playback"]();
  const heard = [];
  const run = (quanta) => {
    let going = true;
    for (let i = 0; i < quanta; i += 1) {
      const out = new Float32Array(10);
      going = node.process([], [[out]]);
      heard.push(...out);
      currentTime += 0.01;
    }
    return going;
  };
  return { node, heard, run, feed: (data) => node.port.onmessage({ data }), reports: () => node.port.reports.at(-1) };
}

{
  // it waits for the pre-roll, then plays every sample, in order
  const { heard, run, feed, reports } = player();
  feed(ramp(1, 59));
  run(3);
  assert.ok(heard.every((value) => value === 0));
  feed(ramp(60, 1));
  for (let n = 61; n < 9000; n += 10) {
    run(1);
    feed(ramp(n, 10));
  }
  assert.deepEqual(heard.slice(30), Array.from(ramp(1, heard.length - 30)), "also where the ring ends");
  feed("end");
  while (run(1));
  assert.equal(heard[heard.findLastIndex(Boolean)], 9000, "to the last");
  assert.deepEqual(reports(), { played: 9000, underruns: 0, skipped: 0, held: 0, finished: true });
}

{
  // when it runs dry it is silent until the pre-roll is there again, and counts it
  const { heard, run, feed, reports } = player();
  feed(ramp(1, 65));
  run(8);
  assert.deepEqual(heard.slice(60), [...ramp(61, 5), ...new Float32Array(15)]);
  feed(ramp(66, 59));
  run(1);
  assert.deepEqual(heard.slice(80), Array(10).fill(0));
  feed(ramp(125, 1));
  run(60);
  assert.deepEqual(heard.slice(90, 150), Array.from(ramp(66, 60)));
  assert.deepEqual([reports().underruns, reports().skipped], [2, 0]);
}

{
  // when far too much has come it continues with the newest, and counts what it skips
  const { heard, run, feed, reports } = player();
  feed(ramp(1, 450));
  run(1);
  feed(ramp(451, 200));
  run(30);
  assert.deepEqual(heard.slice(0, 30), [...ramp(1, 10), ...ramp(591, 20)]);
  assert.equal(reports().skipped, 580);
  feed(ramp(1000, 6000)); // more than the ring holds
  run(1);
  assert.deepEqual(heard.slice(-10), Array.from(ramp(6940, 10)));
  run(30);
  assert.equal(reports().played + reports().held + reports().skipped, 6650, "every sample is accounted for");
}
