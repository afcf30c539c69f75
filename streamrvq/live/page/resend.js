/**
 * What was sent and may have to be sent again if the connection breaks: samples and text messages, by position.
 *
 * Knows: positions. Does not know: sockets, frames, times.
 */

/**
 * Seconds of audio that are kept, at most; lost audio is none. Where the network is too slow, a minute may wait to be
 * sent (recorder.js). What comes while the stream is resumed is added to it.
 */
const KEEP = 90;
/** Those that are still kept after their codes were received. */
const KEEP_RECEIVED = 5;

/** @typedef {{pos: number, end: number, data: Int16Array | Float32Array | string}} Entry */

export class ResendBuffer {
  /** @type {Entry[]} */
  #entries = [];
  #start = 0; // samples before it are no longer kept
  #kept = 0; // samples in the entries

  /** @param {number} rate of the samples, Hz */
  constructor(rate) {
    this.rate = rate;
  }

  /**
   * Keep what was sent at `pos`.
   * @param {number} pos
   * @param {number} length how many samples it stands for: 0 for a marker, the lost samples for a gap
   * @param {Int16Array | Float32Array | string} data
   */
  add(pos, length, data) {
    this.#entries.push({ pos, end: pos + length, data });
    this.#kept += samplesOf(data);
    this.#dropWhile(() => this.#kept > KEEP * this.rate);
  }

  /** Drop what is no longer needed: the codes of the first `seconds` were received. */
  received(seconds) {
    this.#dropWhile(({ end }) => end < (seconds - KEEP_RECEIVED) * this.rate);
  }

  /** @param {(oldest: Entry) => boolean} unneeded whether the oldest entry is dropped, and the next one is looked at */
  #dropWhile(unneeded) {
    let count = 0;
    while (count < this.#entries.length && unneeded(this.#entries[count])) {
      const { end, data } = this.#entries[count];
      this.#start = end;
      this.#kept -= samplesOf(data);
      count += 1;
    }
    if (count) this.#entries.splice(0, count);
  }

  /**
   * Everything from `pos` on, in order. Text at `pos` itself is included: the server may or may not have it.
   * @param {number} pos the next sample that the server wants
   * @returns {Entry[] | null} null if some of it is no longer kept
   */
  from(pos) {
    if (pos < this.#start) return null;
    return this.#entries
      .filter(({ pos: first, end, data }) => (typeof data === "string" ? first >= pos : end > pos))
      .map((entry) => (entry.pos >= pos ? entry : this.#cut(entry, pos)));
  }

  #cut({ pos: first, end, data }, pos) {
    return { pos, end, data: data.subarray(pos - first) };
  }
}

/** Samples that an entry holds; the lost ones of a gap take no memory. */
function samplesOf(data) {
  return typeof data === "string" ? 0 : data.length;
}
