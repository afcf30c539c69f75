/**
 * The playing worklet: a ring of samples, played once a little has gathered, so that small delays are not heard.
 *
 * Runs on the audio thread. When it runs dry it is silent until that much has gathered again. When far too much has
 * gathered (after a pause of the network) it skips to where it would have been. Both are counted and told.
 * Does not know: where samples come from.
 */

/** Seconds: gathered before it plays, gathered at most, told about how often. */
const PREROLL = 0.06;
const MOST = 0.5;
const TELLING = 0.25;

class Playback extends AudioWorkletProcessor {
  #ring = new Float32Array(Math.ceil(4 * sampleRate));
  #read = 0;
  #held = 0;
  #playing = false;
  #ending = false;
  #counts = { played: 0, underruns: 0, skipped: 0 };
  #next = 0;

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
    if (this.#held > MOST * sampleRate && !this.#ending) this.#skip(this.#held - Math.round(PREROLL * sampleRate));
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
    const over = this.#ending && this.#held === 0;
    if (currentTime >= this.#next || over) {
      this.#next = currentTime + TELLING;
      this.port.postMessage({ ...this.#counts, held: this.#held, over });
    }
    return !over;
  }
}

registerProcessor("streamrvq-playback", Playback);
