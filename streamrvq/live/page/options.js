/**
 * The options of `connect`, checked before anything is sent. What a server checks itself is left to it.
 *
 * Knows: the options' names, and values that no message can say. Does not know: streams, sockets.
 */

import { checkFormat, InputError } from "./binary.js";

const NAMES = "mode, sampleRate, format, nQuantizers, token, resume, timeout, onconnection, WebSocket".split(", ");
/** Seconds: timers count milliseconds in 31 bits, and end at once beyond that. */
const MAX_TIMEOUT = 2_147_483;

/**
 * @param {import("./streamrvq.js").Options} options
 * @throws {InputError} an option that does not exist, or a value that it cannot have
 */
export function checkOptions(options) {
  const unknown = Object.keys(options).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw new InputError(`there is no option ${unknown}; wanted ${NAMES.join(", ")}`);
  checkFormat(options.format);
  for (const name of ["sampleRate", "nQuantizers"]) {
    const value = options[name];
    // JSON has neither NaN nor Infinity: it says null, for which a server takes its default.
    if (typeof value === "number" && !Number.isFinite(value)) {
      throw new InputError(`${name} is ${value}; wanted a whole number, or none for the codec's`);
    }
  }
  const { timeout = 30 } = options;
  if (!(typeof timeout === "number" && timeout > 0 && timeout <= MAX_TIMEOUT)) {
    throw new InputError(`timeout is ${timeout}; wanted seconds, more than 0 and at most ${MAX_TIMEOUT}`);
  }
}
