/**
 * Which echoes of markers are answers that somebody waits for.
 *
 * A server that resumes a stream at frame F sends the echoes at exactly F again. A client that resumes sends markers
 * again that the server may have, and gets their echo twice. The same id may have been asked for again meanwhile, and
 * must not be answered by such an echo.
 *
 * Knows: ids, positions, frames. Does not know: messages, sockets, how long a frame is.
 */

import { InputError } from "./binary.js";

export class Markers {
  #asked = []; // {id, pos}: not received yet
  #frame = 0; // the newest frame that an echo came behind
  #received = []; // the echoes that were taken there
  #repeated = []; // those of them that come again
  #resumed = false;

  /** A marker is sent after everything before `pos`. Throws InputError where its id cannot be one. */
  ask(id, pos) {
    // Characters as the server counts them: one beyond U+FFFF has a `length` of 2.
    if (!(Number.isSafeInteger(id) || (typeof id === "string" && [...id].length <= 64))) {
      throw new InputError(`a marker's id is ${id}; wanted a whole number, or a string of at most 64 characters`);
    }
    this.#asked.push({ id, pos });
  }

  /** The server continues at `frame`, with the echoes there. */
  resume(frame) {
    this.#resumed = true;
    this.#turnTo(frame);
    this.#repeated = [...this.#received];
  }

  /**
   * Whether an echo is an answer to a marker that waits, which it then does no longer.
   * @param {number | string} id
   * @param {number} frame the next one that the server will send
   * @param {number} reached what was sent before this position is all in the frames so far
   */
  take(id, frame, reached) {
    this.#turnTo(frame);
    const again = this.#repeated.indexOf(id);
    if (again >= 0) {
      this.#repeated.splice(again, 1);
      return false;
    }
    const at = this.#asked.findIndex((marker) => marker.id === id);
    // One that is not due: the echo is of an earlier marker with this id, which was sent twice.
    if (at < 0 || (this.#resumed && this.#asked[at].pos > reached)) return false;
    this.#asked.splice(at, 1);
    this.#received.push(id);
    return true;
  }

  #turnTo(frame) {
    if (frame === this.#frame) return;
    this.#frame = frame;
    this.#received = [];
    this.#repeated = [];
  }
}
