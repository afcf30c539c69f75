/**
 * A client of `streamrvq serve` for browsers and Node: samples to codes and back, live. No dependencies.
 *
 *     import { connect } from "./streamrvq.js";
 *     const stream = await connect("ws://127.0.0.1:8000", { sampleRate: 48000 });
 *     stream.send(samples); …; await stream.stop();
 *     for await (const item of stream) console.log(item);
 *
 * The words are those of the Python client. Where a connection breaks, an encoding stream is taken up again: what was
 * sent is kept until its codes have come, and every sample is encoded once.
 *
 * Knows: what there is. Does not know: how a stream works (stream.js).
 */

import { ServiceError } from "./link.js";
import { Stream, StreamClosedError } from "./stream.js";
import { InputError, ProtocolError } from "./wire.js";

export { InputError, ProtocolError, ServiceError, Stream, StreamClosedError };

/**
 * @typedef {object} Options
 * @property {"encode" | "decode"} [mode] send samples and get codes (the default), or the other way round
 * @property {number} [sampleRate] of the samples, whoever sends them, Hz, 8000 to 192000; default: the codec's
 * @property {"s16le" | "f32le"} [format] of samples on the wire; default s16le, half as large
 * @property {number} [nQuantizers] codes of a frame; default: all of the codec's
 * @property {string} [token] where the server wants one
 * @property {boolean} [resume] take an encoding stream up again when its connection breaks; default true
 * @property {number} [timeout] seconds to wait for the server's answer; default 30
 * @property {(state: "lost" | "resumed") => void} [onconnection] told when the connection breaks, and is there again
 * @property {typeof WebSocket} [WebSocket] the constructor to use where there is none (Node before 22)
 */

/**
 * @typedef {{type: "frames", index: number, time: number, count: number, codebooks: number, codes: Uint16Array}} Frames
 *   `count` frames from number `index` on, the first of which begins at `time` seconds. Code k of frame t is
 *   `codes[t * codebooks + k]`, the coarsest first.
 * @typedef {{type: "gap", position: number, samples: number, filled: boolean, nextFrame: number}} Gap
 * @typedef {{type: "marker", id: number | string}} Marker
 * @typedef {{type: "samples", position: number, samples: Float32Array}} Samples
 */

/**
 * Open a stream.
 * @param {string} url `ws://host:port` or `wss://…`
 * @param {Options} [options]
 * @returns {Promise<Stream>}
 * @throws {ServiceError} no connection, or the server refused
 */
export async function connect(url, options = {}) {
  const stream = new Stream(url, options);
  await stream._open();
  return stream;
}
