/**
 * Binary messages: a 16-byte little-endian header, then samples or codes. Their numbers are written and checked here.
 *
 * Knows: bytes, typed arrays, the order of messages. Does not know: sockets, text messages, streams, times.
 * (Typed arrays have the byte order of the machine. No machine with a browser is big-endian today.)
 */

export const PCM = 1;
export const CODES = 2;
const KIND_NAMES = { [PCM]: "PCM", [CODES]: "CODES" };
const HEADER = 16;
const FINAL = 1;
/** The formats of samples that are written and read here; the protocol has more. */
const FORMATS = ["s16le", "f32le"];
/** Larger floats are refused, as the codec refuses them. */
const MAX_AMPLITUDE = 128;

/** The other side broke the protocol. */
export class ProtocolError extends Error {
  name = "ProtocolError";
  code = 4400;
}

/** A value that no server takes; nothing was sent. */
export class InputError extends Error {
  name = "InputError";
}

/**
 * Check a format's name, if there is one.
 * @param {string} [format]
 * @throws {InputError} this client does not have it
 */
export function checkFormat(format) {
  if (format === undefined || FORMATS.includes(format)) return;
  throw new InputError(`format is ${format}; wanted ${FORMATS.join(" or ")}`);
}

/**
 * Samples in the format of the wire, always as a new array.
 * @param {Float32Array | Int16Array} samples in [−1, 1], or 16-bit
 * @param {"s16le" | "f32le"} format
 * @returns {Float32Array | Int16Array}
 * @throws {InputError} neither of the two, or floats that are not finite or beyond ±128
 */
export function toFormat(samples, format) {
  if (samples instanceof Int16Array) {
    return format === "s16le" ? samples.slice() : Float32Array.from(samples, (value) => value / 32768);
  }
  if (!(samples instanceof Float32Array)) {
    throw new InputError("samples are neither a Float32Array nor an Int16Array; convert them to one of the two");
  }
  const bad = samples.findIndex((value) => !(Math.abs(value) <= MAX_AMPLITUDE));
  if (bad >= 0) {
    throw new InputError(`sample ${bad} is ${samples[bad]}; wanted finite values, at most ±${MAX_AMPLITUDE}`);
  }
  if (format === "f32le") return samples.slice();
  return Int16Array.from(samples, (value) => Math.max(-32768, Math.min(32767, Math.round(value * 32768))));
}

/** The messages that are sent: numbered from 0, none larger than the other side accepts. */
export class Outgoing {
  #seq = 0;

  /**
   * @param {number} kind PCM or CODES
   * @param {number} maxMessage bytes of a message, header included
   */
  constructor(kind, maxMessage) {
    this.kind = kind;
    this.maxPayload = maxMessage - HEADER;
  }

  /**
   * @param {number} pos of the first sample or frame
   * @param {Int16Array | Float32Array | Uint16Array} array samples, or codes frame by frame
   * @param {number} codebooks codes of a frame; 0 for samples
   * @returns {ArrayBuffer[]} none for an empty array
   */
  pack(pos, array, codebooks = 0) {
    const width = codebooks || 1;
    const step = Math.max(1, Math.floor(this.maxPayload / (width * array.BYTES_PER_ELEMENT)));
    const messages = [];
    for (let first = 0; first * width < array.length; first += step) {
      const part = array.subarray(first * width, (first + step) * width);
      const message = this.empty(pos + first, codebooks, part.byteLength);
      new array.constructor(message, HEADER).set(part);
      messages.push(message);
    }
    return messages;
  }

  /** A message with room for a payload; without one it only shows that there is a client. */
  empty(pos, codebooks = 0, payload = 0) {
    const message = new ArrayBuffer(HEADER + payload);
    const header = new DataView(message);
    header.setUint8(0, this.kind);
    header.setUint16(2, codebooks, true);
    header.setUint32(4, this.#seq, true);
    header.setBigUint64(8, BigInt(pos), true);
    this.#seq = (this.#seq + 1) % 2 ** 32;
    return message;
  }
}

/** The messages that are received: all of one kind, none missing, none after the final one. */
export class Incoming {
  #seq = 0;
  final = false;

  /**
   * @param {number} kind PCM or CODES
   * @param {"s16le" | "f32le"} format of samples
   * @param {number} pos where the next message must begin
   */
  constructor(kind, format, pos = 0) {
    this.kind = kind;
    this.format = format;
    this.pos = pos;
  }

  /**
   * Read the next message: samples as floats, or codes frame by frame.
   * @param {ArrayBuffer} message
   * @returns {{pos: number, count: number, codebooks: number, array: Float32Array | Uint16Array}}
   * @throws {ProtocolError} the message breaks the rules
   */
  take(message) {
    if (message.byteLength < HEADER) throw new ProtocolError(`a binary message of ${message.byteLength} bytes`);
    const header = new DataView(message);
    const kind = header.getUint8(0);
    const codebooks = header.getUint16(2, true);
    const seq = header.getUint32(4, true);
    const pos = Number(header.getBigUint64(8, true));
    if (kind !== this.kind) throw new ProtocolError(`a message of kind ${kind}; wanted ${KIND_NAMES[this.kind]}`);
    if (this.final) throw new ProtocolError("a binary message after the final one");
    if (seq !== this.#seq) throw new ProtocolError(`seq is ${seq}; wanted ${this.#seq}: messages are missing`);
    if (pos !== this.pos) throw new ProtocolError(`pos is ${pos}; wanted ${this.pos}: samples or frames are missing`);
    const width = kind === CODES ? codebooks * 2 : this.format === "s16le" ? 2 : 4;
    const size = message.byteLength - HEADER;
    if (!width || size % width) throw new ProtocolError(`${size} bytes; wanted whole samples or frames of ${width}`);
    const array = this.#array(message);
    this.#seq = (this.#seq + 1) % 2 ** 32;
    this.pos += size / width;
    this.final = Boolean(header.getUint8(1) & FINAL);
    return { pos, count: size / width, codebooks, array };
  }

  /**
   * Check what the server says in the end: how much it has sent.
   * @template {{frames: number, samples: number}} Done
   * @param {Done} done its message
   * @returns {Done} the same
   * @throws {ProtocolError} another number has come
   */
  checkEnd(done) {
    const [count, unit] = this.kind === CODES ? [done.frames, "frames"] : [done.samples, "samples"];
    if (count !== this.pos) throw new ProtocolError(`the server says it sent ${count} ${unit}; ${this.pos} came`);
    return done;
  }

  #array(message) {
    if (this.kind === CODES) return new Uint16Array(message, HEADER);
    if (this.format === "f32le") return new Float32Array(message, HEADER);
    return Float32Array.from(new Int16Array(message, HEADER), (value) => value / 32768);
  }
}

/**
 * Codes as an encoding stream gives them, `{codes, codebooks}`: checked against the server's `ready`, and copied.
 * @throws {InputError} anything else
 */
export function checkedCodes(block, { codebooks: limit, codebook_size: size }) {
  const { codes, codebooks } = block ?? {};
  const levels = Number.isInteger(codebooks) && codebooks >= 1 && codebooks <= limit;
  const whole = levels && codes instanceof Uint16Array && codes.length % codebooks === 0;
  if (!whole || codes.some((code) => code >= size)) {
    throw new InputError(`wanted codes as a Uint16Array of 0 to ${size - 1}, in frames of 1 to ${limit} codebooks`);
  }
  return { array: codes.slice(), codebooks };
}
