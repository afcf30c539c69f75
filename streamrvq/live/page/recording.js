/**
 * A recording: the tokens of one uninterrupted signal, and the `.safetensors` file that `streamrvq decode` reads.
 *
 * A file has one number of codebooks. If the number changed during the recording, it is the smallest one used.
 * Knows: frames, the file's layout (streamrvq/tokens/). Does not know: streams, the page.
 */

/** Frames of a block. An object for each frame would take ten times as much memory. */
const BLOCK = 4096;

export class Recording {
  /** @type {Uint16Array[]} blocks of BLOCK frames, frame by frame; each has room for all of the codec's codebooks */
  #blocks = [];
  #gaps = [];
  #samples = null; // known at the end
  frames = 0;

  /**
   * @param {object} ready the server's description of its codec
   * @param {number} rate of the samples, Hz
   * @param {number} start where it began in the whole capture, in samples
   */
  constructor(ready, rate, start = 0) {
    this.ready = ready;
    this.rate = rate;
    this.start = start;
    this.codebooks = ready.codebooks;
    this.began = new Date();
  }

  /** @param {import("./streamrvq.js").Frames} item */
  add(item) {
    const { count, codebooks, codes } = item;
    const width = this.ready.codebooks;
    for (let i = 0; i < count; i += 1, this.frames += 1) {
      const at = this.frames % BLOCK;
      if (at === 0) this.#blocks.push(new Uint16Array(BLOCK * width));
      this.#blocks.at(-1).set(codes.subarray(i * codebooks, (i + 1) * codebooks), at * width);
    }
    this.codebooks = Math.min(this.codebooks, codebooks);
  }

  /** A gap: zeros were encoded in place of the lost samples. */
  gap({ position, samples }) {
    this.#gaps.push([position - this.start, samples]);
  }

  /** The recording has ended: the capture was encoded up to sample `position`. */
  finish(position) {
    this.#samples = position - this.start;
  }

  /** Samples that its frames cover: until the end is known, those that they can cover. */
  get samples() {
    const { hop, sample_rate: rate } = this.ready;
    return this.#samples ?? Math.floor((this.frames * hop * this.rate) / rate);
  }

  get seconds() {
    return this.samples / this.rate;
  }

  /** @returns {Blob} a token file */
  file() {
    const { codec, codec_hash, trained, sample_rate, hop } = this.ready;
    const numbers = { sample_rate, hop_length: hop, source_rate: this.rate, num_samples: this.samples, version: 1 };
    const metadata = { format: "streamrvq.tokens", codec, codec_hash, tail: "pad", trained: String(trained) };
    for (const [name, value] of Object.entries(numbers)) metadata[name] = String(value);
    if (this.ready.resampler) metadata.resampler = this.ready.resampler;
    if (this.start) metadata.start = String(this.start);
    if (this.#gaps.length) metadata.gaps = JSON.stringify(this.#gaps);
    const codes = this.#codes();
    const tensor = { dtype: "U16", shape: [this.codebooks, this.frames], data_offsets: [0, codes.byteLength] };
    const text = new TextEncoder().encode(JSON.stringify({ __metadata__: metadata, codes: tensor }));
    const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20); // spaces, to a multiple of 8
    new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
    header.set(text, 8);
    return new Blob([header, codes], { type: "application/octet-stream" });
  }

  /** uint16 [codebooks, frames], codebook by codebook, as the file stores them. */
  #codes() {
    const out = new Uint16Array(this.codebooks * this.frames);
    const width = this.ready.codebooks;
    for (let frame = 0; frame < this.frames; frame += 1) {
      const block = this.#blocks[Math.floor(frame / BLOCK)];
      for (let k = 0; k < this.codebooks; k += 1) out[k * this.frames + frame] = block[(frame % BLOCK) * width + k];
    }
    return out;
  }
}
