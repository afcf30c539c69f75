/**
 * The microphone: raw samples, one channel, at the browser's own rate, each block with the time of its capture.
 *
 * Knows: getUserMedia, the audio context, the two time scales. Does not know: streams, the page.
 */

import { ServiceError } from "./connection.js";

/** Raw sound: the processing that helps a telephone call would change the signal. */
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

export class Microphone {
  #media = null;
  #expected = null; // number of the next sample
  #pausedAt = null; // performance.now() since which the system has paused the context
  #offset = Infinity; // from audio time to performance.now(), ms: the least that was observed

  /**
   * @param {object} handlers
   * @param {(samples: Float32Array, captured: number) => void} handlers.onBlock `captured`: when its last sample was
   *   captured, by performance.now()
   * @param {(samples: number) => void} handlers.onLost samples that the browser skipped before the next block, or about
   *   so many as it paused for
   * @param {() => void} handlers.onEnded the device is gone
   */
  constructor(handlers) {
    this.handlers = handlers;
  }

  /** The audio context; its rate is that of the samples. */
  context = null;

  /**
   * Ask for the microphone and start. Call it from a click: browsers start no audio without one.
   * @throws {DOMException} as getUserMedia: NotAllowedError, NotFoundError, NotReadableError …
   * @throws {ServiceError} the server does not give the code that captures
   */
  async open() {
    if (!navigator.mediaDevices) throw new DOMException("the page is not secure", "SecurityError");
    this.context = new AudioContext({ latencyHint: "interactive" });
    try {
      this.#media = await navigator.mediaDevices.getUserMedia({ audio: RAW });
      await this.#loadCapture();
      await this.context.resume();
      this.#startCapture();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async #loadCapture() {
    try {
      await this.context.audioWorklet.addModule("capture.js");
    } catch {
      throw new ServiceError("capture.js cannot be loaded", 1006); // browsers say AbortError, as of a device
    }
  }

  #startCapture() {
    const { context } = this;
    const tracks = this.#media.getAudioTracks();
    // It may have gone since it was given: then no event tells of it any more.
    if (tracks.some(({ readyState }) => readyState === "ended")) throw new DOMException("it has gone", "AbortError");
    const source = context.createMediaStreamSource(this.#media);
    // one channel: the mean of all that the device has
    const node = new AudioWorkletNode(context, "streamrvq-capture", {
      numberOfInputs: 1,
      numberOfOutputs: 1,
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: "explicit",
      channelInterpretation: "speakers",
    });
    node.port.onmessage = ({ data: { first, samples } }) => this.#block(first, samples);
    source.connect(node).connect(context.destination); // silent; some browsers run only nodes that lead to the output
    context.onstatechange = () => this.#changeState();
    for (const track of tracks) track.onended = () => this.handlers.onEnded();
  }

  /** A system pauses sound for a call, or in a page that is not seen. Audio time stands still meanwhile. */
  #changeState() {
    if (this.context.state !== "running") this.#pausedAt ??= performance.now();
    else if (this.#pausedAt !== null) {
      const lost = Math.round(((performance.now() - this.#pausedAt) / 1000) * this.context.sampleRate);
      if (this.#media && this.#expected !== null && lost > 0) this.handlers.onLost(lost);
      [this.#pausedAt, this.#offset] = [null, Infinity];
    }
  }

  #block(first, samples) {
    if (!this.#media) return; // closed
    const now = performance.now();
    if (this.#expected !== null && first > this.#expected) this.handlers.onLost(first - this.#expected);
    this.#expected = first + samples.length;
    const end = (this.#expected / this.context.sampleRate) * 1000;
    // Blocks come in bursts, and late while the page is busy. The fastest block shows when the others were captured.
    // The 0.01 ms a block let the offset follow the drift between the two time scales.
    this.#offset = Math.min(this.#offset + 0.01, now - end);
    this.handlers.onBlock(samples, end + this.#offset);
  }

  /** Stop capturing. The context keeps running, and so does what plays in it. */
  mute() {
    for (const track of this.#media?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.#media = null;
  }

  close() {
    this.mute();
    if (this.context?.state !== "closed") this.context?.close();
  }
}
