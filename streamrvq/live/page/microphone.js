/**
 * The microphone: raw samples, one channel, at the browser's own rate, each block with the moment of its capture.
 *
 * Knows: getUserMedia, the audio context, clocks. Does not know: streams, the page.
 */

/** Raw sound: what helps a telephone call would change what is to be tokenised. */
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

export class Microphone {
  #media = null;
  #expected = null;
  #offset = Infinity; // from the audio clock to performance.now(), ms: the least that was seen

  /**
   * @param {object} to
   * @param {(samples: Float32Array, captured: number) => void} to.block `captured`: when its last sample was, by
   *   performance.now()
   * @param {(samples: number) => void} to.lost samples that the browser skipped before the next block
   * @param {() => void} to.ended the device has gone
   */
  constructor(to) {
    this.to = to;
  }

  /** The audio context, whose rate the samples have. */
  context = null;

  /**
   * Ask for the microphone and begin. Call it from a click: browsers start no sound without one.
   * @throws {DOMException} as getUserMedia: NotAllowedError, NotFoundError, NotReadableError …
   */
  async open() {
    if (!navigator.mediaDevices) throw new DOMException("the page is not secure", "SecurityError");
    this.context = new AudioContext({ latencyHint: "interactive" });
    try {
      this.#media = await navigator.mediaDevices.getUserMedia({ audio: RAW });
      await this.context.audioWorklet.addModule("capture.js");
      await this.context.resume();
      this.#listen();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #listen() {
    const { context } = this;
    const source = context.createMediaStreamSource(this.#media);
    // one channel, whatever the device has: the mean of all
    const node = new AudioWorkletNode(context, "streamrvq-capture", {
      numberOfInputs: 1,
      numberOfOutputs: 1,
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: "explicit",
      channelInterpretation: "speakers",
    });
    node.port.onmessage = ({ data: { first, samples } }) => this.#block(first, samples);
    source.connect(node).connect(context.destination); // silent; but what leads nowhere is not run everywhere
    for (const track of this.#media.getAudioTracks()) track.onended = () => this.to.ended();
  }

  #block(first, samples) {
    if (!this.#media) return; // closed
    const now = performance.now();
    if (this.#expected !== null && first > this.#expected) this.to.lost(first - this.#expected);
    this.#expected = first + samples.length;
    const end = (this.#expected / this.context.sampleRate) * 1000;
    // Blocks come in bursts, and late when the page is busy. The one that came fastest tells when the others were
    // captured; the allowance of 0.01 ms a block follows the drift of the two clocks.
    this.#offset = Math.min(this.#offset + 0.01, now - end);
    this.to.block(samples, end + this.#offset);
  }

  /** No more blocks; the context, and what plays in it, goes on. */
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
