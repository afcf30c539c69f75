/**
 * The capture worklet: the microphone's samples in blocks, each with the number of its first sample.
 *
 * It runs on the audio thread, where it only copies. Does not know: what becomes of the blocks.
 */

/** 5 ms at 48 kHz. Shorter blocks mean more messages, longer ones more latency. */
const BLOCK = 256;

class Capture extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK);
  #filled = 0;

  process([[channel]]) {
    if (!channel) return true; // no input is connected
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
