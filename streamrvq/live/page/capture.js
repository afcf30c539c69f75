/**
 * The capturing worklet: what the microphone gives, in blocks, each with the number of its first sample.
 *
 * Runs on the audio thread: it copies and leaves. Does not know: what becomes of the blocks.
 */

/** 5 ms at 48 kHz: less would cost more messages, more would cost latency. */
const BLOCK = 256;

class Capture extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK);
  #filled = 0;

  process([[channel]]) {
    if (!channel) return true; // nothing is connected, or no longer
    for (let from = 0; from < channel.length;) {
      const part = channel.subarray(from, from + BLOCK - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      from += part.length;
      if (this.#filled === BLOCK) {
        const first = currentFrame + from - BLOCK;
        this.port.postMessage({ first, samples: this.#block }, [this.#block.buffer]);
        this.#block = new Float32Array(BLOCK);
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("streamrvq-capture", Capture);
