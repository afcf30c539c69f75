/**
 * Playing tokens: a second stream, which decodes them, and the worklet that plays its samples.
 *
 * Knows: frames in, sound out. Does not know: where the frames come from, the page.
 */

import { connect, ServiceError } from "./streamrvq.js";

/** Seconds to wait for the rest, after the last samples that came. */
const FINISH_TIMEOUT = 5;

export class TokenPlayer {
  #stream = null;
  #node = null;
  #received = 0; // messages with samples
  #playing = null; // a promise: everything was played, or playing failed

  /**
   * Start. Frames that are fed from now on are heard.
   * @param {AudioContext} context
   * @param {string} url
   * @param {string | undefined} token
   * @param {(error: Error) => void} onError it ended by itself
   */
  async open(context, url, token, onError) {
    await context.audioWorklet.addModule("playback.js").catch(() => {
      throw new ServiceError("playback.js cannot be loaded", 1006); // browsers say AbortError, as of a device
    });
    this.#stream = await connect(url, { mode: "decode", sampleRate: context.sampleRate, token });
    this.#node = new AudioWorkletNode(context, "streamrvq-playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#node.connect(context.destination);
    this.#playing = this.#play(onError);
  }

  async #play(onError) {
    const finished = new Promise((resolve) => {
      this.#node.port.onmessage = ({ data }) => data.finished && resolve();
    });
    try {
      for await (const { type, samples } of this.#stream) {
        if (type !== "samples") continue;
        this.#received += 1;
        this.#node.port.postMessage(samples, [samples.buffer]);
      }
      this.#node.port.postMessage("end");
      await finished;
    } catch (error) {
      this.#node.disconnect();
      onError(error);
    }
  }

  /** Play the frames of an encoding stream. */
  feed({ codes, codebooks }) {
    this.#stream?.send({ codes, codebooks }).catch(() => {}); // #play reports the error
  }

  /** No more frames. Resolves when the rest was played, or cannot be. */
  async finish() {
    this.#stream?.stop().catch(() => {});
    await Promise.race([this.#playing, this.#stalled()]);
    this.close();
  }

  /** Resolves once no samples have come for FINISH_TIMEOUT. */
  async #stalled() {
    for (let before = -1; before !== this.#received; ) {
      before = this.#received;
      await new Promise((resolve) => setTimeout(resolve, FINISH_TIMEOUT * 1000));
    }
  }

  /** Stop at once. */
  close() {
    this.#stream?.close();
    this.#node?.disconnect();
  }
}
