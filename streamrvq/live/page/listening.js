/**
 * Listening to the tokens: a second stream, which decodes, and the worklet that plays what it gives.
 *
 * Knows: frames in, sound out. Does not know: where the frames come from, the page.
 */

import { connect } from "./streamrvq.js";

export class Listening {
  #stream = null;
  #node = null;
  #over = null; // a promise: all has been played, or it failed

  /**
   * Begin; frames that are fed from then on are heard.
   * @param {AudioContext} context
   * @param {string} url
   * @param {string | undefined} token
   * @param {(error: Error) => void} failed when it ends by itself
   */
  async open(context, url, token, failed) {
    await context.audioWorklet.addModule("playback.js");
    this.#stream = await connect(url, { mode: "decode", sampleRate: context.sampleRate, token });
    this.#node = new AudioWorkletNode(context, "streamrvq-playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#node.connect(context.destination);
    this.#over = this.#play(failed);
  }

  async #play(failed) {
    const played = new Promise((resolve) => {
      this.#node.port.onmessage = ({ data }) => data.over && resolve();
    });
    try {
      for await (const { type, samples } of this.#stream) {
        if (type === "samples") this.#node.port.postMessage(samples, [samples.buffer]);
      }
      this.#node.port.postMessage("end");
      await played;
    } catch (error) {
      this.#node.disconnect();
      failed(error);
    }
  }

  /** Frames of an encoding stream. */
  feed({ codes, codebooks }) {
    this.#stream?.send({ codes, codebooks }).catch(() => {}); // the reader says why
  }

  /** Those were all. Resolves when the rest has been played, or cannot be. */
  async finish() {
    this.#stream?.stop().catch(() => {});
    await Promise.race([this.#over, new Promise((resolve) => setTimeout(resolve, 2000))]);
    this.close();
  }

  /** Silence, at once. */
  close() {
    this.#stream?.close();
    this.#node?.disconnect();
  }
}
