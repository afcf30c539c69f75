/**
 * What was sent and may have to be sent again if the connection breaks: samples and text messages, by position.
 *
 * Knows: positions. Does not know: sockets, frames, times.
 */

/** @typedef {{pos: number, end: number, data: Int16Array | Float32Array | string}} Entry */

export class ResendBuffer {
  /** @type {Entry[]} */
  #entries = [];
  #start = 0; // samples before it are no longer kept

  /** @param {number} maxSamples how many are kept; older ones are dropped */
  constructor(maxSamples) {
    this.maxSamples = maxSamples;
  }

  /**
   * Keep what was sent at `pos`.
   * @param {number} pos
   * @param {number} length how many samples it stands for: 0 for a marker, the lost samples for a gap
   * @param {Int16Array | Float32Array | string} data
   */
  add(pos, length, data) {
    this.#entries.push({ pos, end: pos + length, data });
    this.trim(pos + length - this.maxSamples);
  }

  /** Drop everything that lies wholly before `pos`. */
  trim(pos) {
    let count = 0;
    while (count < this.#entries.length && this.#entries[count].end < pos) {
      this.#start = this.#entries[count].end;
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
