// Runs plans, which come on stdin as JSON, with the JavaScript client. Prints what happens as JSON lines.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../../streamrvq/live/page/streamrvq.js";

const plain = (name, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);

function block(kind, text) {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  if (kind === "float32") return new Float32Array(bytes.buffer);
  if (kind === "int16") return new Int16Array(bytes.buffer);
  if (kind === "float64") return new Float64Array(bytes.buffer);
  return { codes: new Uint16Array(bytes.buffer), codebooks: Number(kind.slice("codes".length)) };
}

async function play({ url, options, steps }, plan) {
  const print = (event) => console.log(JSON.stringify({ plan, ...event }, plain));
  const failed = ({ name, code, message }, doing) => print({ type: "error", doing, name, code, message });
  let stream;
  try {
    stream = await connect(url, { ...options, onconnection: (state) => print({ type: state }) });
  } catch (error) {
    return failed(error, "connect");
  }
  print(stream.ready);
  const write = async () => {
    for (const [name, ...values] of steps) {
      try {
        if (name === "pause") await sleep(1000 * values[0]);
        else if (name === "send") await stream.send(block(...values));
        else await stream[name](...values);
      } catch (error) {
        failed(error, name);
      }
    }
  };
  const writing = write();
  try {
    for await (const item of stream) print(item);
  } catch (error) {
    failed(error, "read");
  }
  await writing;
  print({ type: "end", done: stream.done, stats: stream.stats(), seconds: performance.now() / 1000 });
}

const plans = JSON.parse(readFileSync(0, "utf8"));
// As where a system stops the timers of a page: nothing is sent to keep a stream open.
if (plans.some(({ timers }) => timers === false)) globalThis.setInterval = () => 0;
if (plans.some(({ hurry }) => hurry)) {
  // Timers end a hundred times sooner, and the clock stands between them: only they make it go on.
  const wait = globalThis.setTimeout;
  let now = 0;
  performance.now = () => now;
  globalThis.setTimeout = (call, delay = 0) => {
    const due = now + delay;
    return wait(() => (now = Math.max(now, due), call()), delay / 100);
  };
}
await Promise.all(plans.map(play));
