/**
 * What was sent and may be wanted again, should the connection break: samples and text messages, by position.
 *
 * Knows: positions. Does not know: sockets, frames, times.
 */

/** @typedef {{pos: number, end: number, data: Int16Array | Float32Array | string}} Entry */

export class Kept {
  /** @type {Entry[]} */
  #entries = [];
  #start = 0;

  /** @param {number} most samples that are kept; older ones go */
  constructor(most) {
    this.most = most;
  }

  /**
   * Keep what was sent at `pos`.
   * @param {number} pos
   * @param {number} length samples that it stands for: 0 for a marker, the samples lost for a gap
   * @param {Int16Array | Float32Array | string} data
   */
  add(pos, length, data) {
    this.#entries.push({ pos, end: pos + length, data });
    this.forget(pos + length - this.most);
  }

  /** Whatever lies wholly before `pos` will not be wanted again. */
  forget(pos) {
    let count = 0;
    while (count < this.#entries.length && this.#entries[count].end < pos) {
      this.#start = this.#entries[count].end;
      count += 1;
    }
    if (count) this.#entries.splice(0, count);
  }

  /**
   * Everything from `pos` on, in order. Text at `pos` itself comes too: it may have arrived or not.
   * @param {number} pos the next sample that the server wants
   * @returns {Entry[] | null} null if some of it is kept no more
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
