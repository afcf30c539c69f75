/**
 * What a client can tell of the frames it gets: their times, what of the sent audio they cover, how long they took.
 *
 * Knows: positions, gaps, clocks as numbers. Does not know: messages, sockets.
 */

/** Latencies that percentiles are taken of, and moments of sending that are remembered. */
const WINDOW = 1024;
const MOST_SENT = 1 << 16;

/**
 * @typedef {object} Stats
 * @property {number} frames received
 * @property {number} gaps
 * @property {number} lost samples in the gaps
 * @property {number | null} latencyP50 seconds from the last sample of a frame's own hop (captured, where the sender
 *   said when, else sent) to the receipt of its codes; null before the first frame
 * @property {number | null} latencyP99
 */

export class Reckoning {
  #start = 0; // where the present stream began: sample, frame
  #first = 0;
  #frames = 0;
  #gaps = 0;
  #lost = 0;
  /** @type {{pos: number, time: number, exact: boolean}[]} */
  #sent = [];
  #next = 0; // in #sent
  /** @type {number[]} */
  #latencies = [];

  /**
   * @param {number} rate of the samples sent, Hz
   * @param {number} hop seconds of a frame
   */
  constructor(rate, hop) {
    this.rate = rate;
    this.hop = hop;
  }

  /**
   * The samples before `pos` have been sent.
   * @param {number} pos
   * @param {number} time milliseconds
   * @param {boolean} exact the last of them was captured just then, those before it as much earlier as they are long
   */
  sent(pos, time, exact) {
    this.#sent.push({ pos, time, exact });
    if (this.#next > 1024 || this.#sent.length > MOST_SENT) {
      this.#sent.splice(0, Math.max(this.#next, 1));
      this.#next = 0;
    }
  }

  /** The server has taken up a gap; if not filled, frame `nextFrame` begins behind it. */
  gap(position, samples, filled, nextFrame) {
    this.#gaps += 1;
    this.#lost += samples;
    if (!filled) [this.#start, this.#first] = [position + samples, nextFrame];
  }

  /** When frame `index` begins, in seconds from sample 0. */
  time(index) {
    return this.#start / this.rate + (index - this.#first) * this.hop;
  }

  /** Codes of frames `index` … `index + count` have come, at `now` milliseconds. */
  frames(index, count, now) {
    this.#frames += count;
    for (let frame = index + 1; frame <= index + count; frame += 1) {
      const end = Math.ceil(this.time(frame) * this.rate - 1e-6);
      while (this.#next < this.#sent.length && this.#sent[this.#next].pos < end) this.#next += 1;
      if (this.#next === this.#sent.length) break; // padded: never sent
      const { pos, time, exact } = this.#sent[this.#next];
      this.#latencies.push((now - time) / 1000 + (exact ? (pos - end) / this.rate : 0));
    }
    if (this.#latencies.length > 2 * WINDOW) this.#latencies.splice(0, this.#latencies.length - WINDOW);
  }

  /** @returns {Stats} */
  stats() {
    const sorted = this.#latencies.slice(-WINDOW).sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
    return { frames: this.#frames, gaps: this.#gaps, lost: this.#lost, latencyP50: at(0.5), latencyP99: at(0.99) };
  }
}
