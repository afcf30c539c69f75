/**
 * The playback worklet: a ring of samples. Playback starts once a little has been buffered, which hides small delays.
 *
 * It runs on the audio thread. When the ring is empty it is silent until enough has been buffered again. When far too
 * much is buffered (after a pause of the network), it skips ahead. Both are counted and reported.
 * Does not know: where samples come from.
 */

/** Seconds: buffered before playback starts, buffered at most, between two reports. */
const PREROLL = 0.06;
const MAX_BUFFERED = 0.5;
const REPORT_INTERVAL = 0.25;

class Playback extends AudioWorkletProcessor {
  #ring = new Float32Array(Math.ceil(4 * sampleRate));
  #read = 0;
  #held = 0;
  #playing = false;
  #ending = false;
  #counts = { played: 0, underruns: 0, skipped: 0 };
  #nextReport = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data === "end") this.#ending = this.#playing = true;
      else this.#write(data);
    };
  }

  #write(samples) {
    const ring = this.#ring;
    const kept = samples.subarray(Math.max(0, samples.length - ring.length));
    this.#skip(this.#held + kept.length - ring.length);
    this.#counts.skipped += samples.length - kept.length;
    let at = (this.#read + this.#held) % ring.length;
    for (const value of kept) {
      ring[at] = value;
      at = at + 1 === ring.length ? 0 : at + 1;
    }
    this.#held += kept.length;
    const preroll = Math.round(PREROLL * sampleRate);
    if (this.#held > MAX_BUFFERED * sampleRate && !this.#ending) this.#skip(this.#held - preroll);
  }

  #skip(count) {
    if (count <= 0) return;
    this.#read = (this.#read + count) % this.#ring.length;
    this.#held -= count;
    this.#counts.skipped += count;
  }

  process(_, [[out]]) {
    if (this.#held >= PREROLL * sampleRate) this.#playing = true;
    const count = this.#playing ? Math.min(out.length, this.#held) : 0;
    for (let i = 0; i < count; i += 1) {
      out[i] = this.#ring[this.#read];
      this.#read = this.#read + 1 === this.#ring.length ? 0 : this.#read + 1;
    }
    this.#held -= count;
    this.#counts.played += count;
    if (this.#playing && count < out.length && !this.#ending) {
      this.#playing = false;
      this.#counts.underruns += 1;
    }
    const finished = this.#ending && this.#held === 0;
    if (currentTime >= this.#nextReport || finished) {
      this.#nextReport = currentTime + REPORT_INTERVAL;
      this.port.postMessage({ ...this.#counts, held: this.#held, finished });
    }
    return !finished;
  }
}

registerProcessor("streamrvq-playback", Playback);
