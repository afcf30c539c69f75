/**
 * The times of a stream's frames, which part of the sent audio they cover, and how long each took to come back.
 *
 * Knows: positions, gaps, times as numbers. Does not know: messages, sockets.
 */

/** Percentiles are taken over this many latencies. */
const WINDOW = 1024;
/** Seconds, more than half a sample of any codec: a server rounds a length to whole samples of the codec's rate. */
const ROUNDING = 0.0006;
/** Samples, far more than what rounding makes of a frame's end at any position: it is a product of floats. */
const PRODUCT = 1e-3;
/** How many send times are remembered. */
const MAX_SENT = 1 << 16;

/**
 * @typedef {object} Stats
 * @property {number} frames received
 * @property {number} gaps
 * @property {number} lost samples in the gaps
 * @property {number | null} latencyP50 seconds from the last sample of a frame's own hop to the receipt of its codes;
 *   from its capture if the sender gave that time, else from its sending; null before the first frame
 * @property {number | null} latencyP99
 */

export class FrameTiming {
  // A gap that is not filled begins a new signal: at this sample, with this frame.
  #firstSample = 0;
  #firstFrame = 0;
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
   * The samples before `pos` were sent.
   * @param {number} pos
   * @param {number} time milliseconds
   * @param {boolean} exact `time` is when the last of them was captured; earlier samples were captured earlier
   */
  sent(pos, time, exact) {
    this.#sent.push({ pos, time, exact });
    if (this.#next > 1024 || this.#sent.length > MAX_SENT) {
      this.#sent.splice(0, Math.max(this.#next, 1));
      this.#next = 0;
    }
  }

  /** The server has handled a gap. If it was not filled, frame `nextFrame` begins after it. */
  gap(position, samples, filled, nextFrame) {
    this.#gaps += 1;
    this.#lost += samples;
    if (!filled) [this.#firstSample, this.#firstFrame] = [position + samples, nextFrame];
  }

  /** When frame `index` begins, in seconds from sample 0. */
  time(index) {
    return this.#firstSample / this.rate + (index - this.#firstFrame) * this.hop;
  }

  /** Samples that the frames before `index` may cover at most: how far a marker echoed there may be. */
  reached(index) {
    return Math.floor((this.time(index) + ROUNDING) * this.rate);
  }

  /** The codes of frames `index` to `index + count - 1` were received at `now`, in milliseconds. */
  frames(index, count, now) {
    this.#frames += count;
    for (let frame = index + 1; frame <= index + count; frame += 1) {
      const end = Math.ceil(this.time(frame) * this.rate - PRODUCT);
      while (this.#next < this.#sent.length && this.#sent[this.#next].pos < end) this.#next += 1;
      if (this.#next === this.#sent.length) break; // padding at the end, which was never sent
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
