/**
 * A client of `streamrvq serve` for browsers and Node: samples to codes and back, live. No dependencies.
 *
 *     import { connect } from "./streamrvq.js";
 *     const stream = await connect("ws://127.0.0.1:8000", { sampleRate: 48000 });
 *     stream.send(samples); …; await stream.stop();
 *     for await (const item of stream) console.log(item);
 *
 * The names are those of the Python client. If the connection breaks, an encoding stream is resumed: what was sent is
 * kept until its codes have come, and every sample is encoded exactly once.
 *
 * Knows: what is exported. Does not know: how a stream works (stream.js).
 */

import { InputError, ProtocolError } from "./binary.js";
import { ServiceError } from "./connection.js";
import { checkOptions } from "./options.js";
import { Stream, StreamClosedError } from "./stream.js";

export { InputError, ProtocolError, ServiceError, Stream, StreamClosedError };

/**
 * @typedef {object} Options
 * @property {"encode" | "decode"} [mode] encode (the default): send samples and receive codes;
 *   decode: send codes and receive samples
 * @property {number} [sampleRate] of the samples in either direction, Hz, 8000 to 192000; default: the codec's
 * @property {"s16le" | "f32le"} [format] of samples on the wire; default s16le, half as large
 * @property {number} [nQuantizers] codebooks to encode with; default: all of the codec's
 * @property {string} [token] where the server wants one
 * @property {boolean} [resume] resume an encoding stream when its connection breaks; default true
 * @property {number} [timeout] seconds to wait for the server's answer; default 30
 * @property {(state: "lost" | "resumed") => void} [onconnection] called when the connection breaks, and when the
 *   stream was resumed
 * @property {typeof WebSocket} [WebSocket] the constructor, where there is no global one (Node before 22)
 */

/**
 * @typedef {{type: "frames", index: number, time: number, count: number, codebooks: number, codes: Uint16Array}} Frames
 *   `count` frames from number `index` on. The first of them begins at `time` seconds. Code k of frame t is
 *   `codes[t * codebooks + k]`; codebook 0 is the coarsest.
 * @typedef {{type: "gap", position: number, samples: number, filled: boolean, nextFrame: number}} Gap
 * @typedef {{type: "marker", id: number | string}} Marker
 * @typedef {{type: "samples", position: number, samples: Float32Array}} Samples
 */

/**
 * Open a stream.
 * @param {string} url `ws://host:port` or `wss://…`
 * @param {Options} [options]
 * @returns {Promise<Stream>}
 * @throws {InputError} an address or an option that cannot be; nothing was sent
 * @throws {ServiceError} there is no connection, or the server refused
 */
export async function connect(url, options = {}) {
  checkOptions(options);
  const stream = new Stream(url, options);
  await stream._open();
  return stream;
}
