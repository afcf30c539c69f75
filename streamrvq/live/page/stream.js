/**
 * One stream on a server: what is sent, what comes back, and how it goes on when the connection breaks.
 *
 * Knows: the order of messages, resuming. Does not know: WebSocket (link.js), bytes (wire.js), what to keep (kept.js),
 * times (reckoning.js).
 */

import { Kept } from "./kept.js";
import { dial, isBroken, lost, ServiceError } from "./link.js";
import { Reckoning } from "./reckoning.js";
import { checkedCodes, CODES, Incoming, InputError, Outgoing, PCM, ProtocolError, toFormat } from "./wire.js";

/** Seconds: how far `send` runs ahead of what has come back; what is kept at most, and of what has come back; for how
    long a broken connection is tried again. */
const AHEAD = 10;
const KEPT = 30;
const HEARD = 5;
const TRYING = 20;
const STOP = '{"type":"stop"}';
const OPEN = 1; // of a WebSocket's readyState

/** Something was asked of a stream that has ended. */
export class StreamClosedError extends Error {
  name = "StreamClosedError";
}

/** One stream on a server, made by `connect`; an async iterator of Frames, Gap, Marker and (decoding) Samples. */
export class Stream {
  #url;
  #options;
  #socket = null; // null while there is no connection
  #outgoing;
  #incoming;
  #kept = null;
  #reckoning;
  #pos = 0; // next sample, or frame, to be sent
  #back = 0; // what has come back covers so many seconds
  #gapsSeen = 0;
  #markers = []; // not echoed yet
  #items = [];
  #waiting = []; // resolvers of next()
  #blocked = []; // resolvers of send()
  #stopped = false;
  #draining = false;
  #ended = false;
  #error = null;
  #told = false; // next() has thrown it

  /** What the server said about its codec and this stream, in the protocol's words. */
  ready = null;
  /** The server's totals; null before the end. */
  done = null;

  constructor(url, options) {
    this.#url = url;
    this.#options = { mode: "encode", format: "s16le", resume: true, timeout: 30, WebSocket: globalThis.WebSocket };
    for (const [name, value] of Object.entries(options)) if (value !== undefined) this.#options[name] = value;
    if (!this.#options.WebSocket) throw new InputError("there is no WebSocket here; give one as options.WebSocket");
  }

  get #encoding() {
    return this.#options.mode === "encode";
  }

  /** @internal */
  async _open() {
    const { mode, sampleRate, format, nQuantizers, token } = this.#options;
    const pcm = { sample_rate: sampleRate, format, n_quantizers: nQuantizers };
    await this.#dial({ type: "start", version: 1, mode, ...pcm, token }, (message) => this.#begin(message));
  }

  // ------------------------------------------------------------- to the server

  /**
   * Send samples, or, decoding, codes (what an encoding stream gave: `{codes, codebooks}`). The order of calls is the
   * order of sending. Waiting for the promise keeps a fast sender from running ahead; live ones need not.
   * @param {Float32Array | Int16Array | {codes: Uint16Array, codebooks: number}} block
   * @param {number} [captured] when its last sample was captured, by `performance.now()`
   * @throws {InputError} bad samples or codes; nothing was sent
   * @throws {StreamClosedError} after `stop`
   * @throws {ServiceError} the stream has ended
   */
  async send(block, captured) {
    this.#needOpen("send");
    const { format } = this.#options;
    const { array, codebooks } = this.#encoding ? { array: toFormat(block, format) } : checkedCodes(block, this.ready);
    const count = array.length / (codebooks || 1);
    const pos = this.#pos;
    this.#pos += count;
    if (this.#encoding) {
      this.#reckoning.sent(this.#pos, captured ?? performance.now(), captured !== undefined);
      this.#kept?.add(pos, count, array);
    }
    this.#transmit(() => this.#outgoing.pack(pos, array, codebooks));
    while (!this.#ended && this.#ahead > AHEAD) await new Promise((resolve) => this.#blocked.push(resolve));
    if (this.#error) throw this.#error;
  }

  /** Say that so many samples were lost where the stream stands. Throws as `send`. */
  async gap(samples) {
    this.#needOpen("gap");
    if (!(Number.isSafeInteger(samples) && samples > 0)) throw new InputError(`a gap of ${samples}; wanted 1 or more`);
    const pos = this.#pos;
    this.#pos += samples;
    this.#tell({ type: "gap", pos, samples }, pos, samples);
  }

  /** Ask for a Marker among the items, once everything sent before it has come out. Throws as `send`. */
  async marker(id) {
    this.#needOpen("marker");
    if (!(Number.isSafeInteger(id) || (typeof id === "string" && id.length <= 64))) {
      throw new InputError(`a marker's id is ${id}; wanted a whole number, or a string of at most 64 characters`);
    }
    this.#markers.push(id);
    this.#tell({ type: "marker", id }, this.#pos, 0);
  }

  /** Encode with so many codebooks, from the first frame on of which nothing has been sent. Throws as `send`. */
  async set(nQuantizers) {
    this.#needOpen("set");
    if (!(Number.isInteger(nQuantizers) && nQuantizers >= 1 && nQuantizers <= this.ready.codebooks)) {
      throw new InputError(`nQuantizers is ${nQuantizers}; this codec has 1 to ${this.ready.codebooks}`);
    }
    this.#tell({ type: "set", n_quantizers: nQuantizers }, this.#pos, 0);
  }

  /** That was all: what is owed comes, then the iteration ends. Again is harmless. Throws as `send`. */
  async stop() {
    if (this.#stopped) return;
    this.#needOpen("stop");
    this.#stopped = true;
    this.#transmit(() => [STOP]);
  }

  /** Leave at once; what is owed is given up. The iteration ends. */
  close() {
    this.#socket?.close(1000);
    this.#end(null);
  }

  /** @returns {import("./reckoning.js").Stats} */
  stats() {
    return this.#reckoning.stats();
  }

  #tell(message, pos, length) {
    const text = JSON.stringify(message);
    this.#kept?.add(pos, length, text);
    this.#transmit(() => [text]);
  }

  /** Send messages, if there is a connection; one that is closing takes no more, and says so later. */
  #transmit(messages) {
    if (this.#socket?.readyState === OPEN) for (const message of messages()) this.#socket.send(message);
  }

  #needOpen(doing) {
    if (this.#error) throw this.#error;
    if (this.#stopped || this.#ended) throw new StreamClosedError(`${doing} after the end; connect again for another`);
  }

  get #ahead() {
    return this.#pos / (this.#encoding ? this.sampleRate : this.ready.sample_rate / this.ready.hop) - this.#back;
  }

  // ------------------------------------------------------------- from the server

  [Symbol.asyncIterator]() {
    return this;
  }

  /** The next item. What ended the stream is thrown once, behind the items before it. */
  async next() {
    if (!this.#items.length && !this.#ended) await new Promise((resolve) => this.#waiting.push(resolve));
    if (this.#items.length) return { done: false, value: this.#items.shift() };
    if (this.#error && !this.#told) {
      this.#told = true;
      throw this.#error;
    }
    return { done: true, value: undefined };
  }

  #put(item) {
    this.#items.push(item);
    this.#waiting.shift()?.();
  }

  #end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#socket = null;
    for (const wake of [...this.#waiting.splice(0), ...this.#blocked.splice(0)]) wake();
  }

  #take(data) {
    if (!(data instanceof ArrayBuffer)) this.#text(data);
    else if (this.#encoding) this.#frames(this.#incoming.take(data));
    else this.#samples(this.#incoming.take(data));
    for (const wake of this.#blocked.splice(0)) wake();
  }

  #frames({ pos: index, count, codebooks, array: codes }) {
    if (!count) return;
    this.#reckoning.frames(index, count, performance.now());
    this.#back = this.#reckoning.time(index + count);
    this.#kept?.forget((this.#back - HEARD) * this.sampleRate);
    this.#put({ type: "frames", index, time: this.#reckoning.time(index), count, codebooks, codes });
  }

  #samples({ pos: position, count, array: samples }) {
    this.#back = (position + count) / this.sampleRate;
    if (count) this.#put({ type: "samples", position, samples });
  }

  #text(message) {
    if (message.type === "done") this.done = message;
    else if (message.type === "marker") {
      const at = this.#markers.indexOf(message.id); // one that is not waited for came before the connection broke
      if (at >= 0) this.#put({ type: "marker", id: this.#markers.splice(at, 1)[0] });
    } else if (message.type === "gap") {
      const { pos: position, samples, filled, next_frame: nextFrame } = message;
      if (position < this.#gapsSeen) return;
      this.#gapsSeen = position + samples;
      this.#reckoning.gap(position, samples, filled, nextFrame);
      this.#back = Math.max(this.#back, this.#reckoning.time(nextFrame));
      this.#put({ type: "gap", position, samples, filled, nextFrame });
    } else if (message.type === "drain") this.#drain();
    // others are a newer server's, and none of our business
  }

  /** The server goes down: what has been sent is the last that it gets. */
  #drain() {
    if (this.#stopped) return;
    this.#draining = this.#stopped = true;
    this.#socket?.send('{"type":"stop"}');
  }

  // ------------------------------------------------------------- connections

  #dial(hello, answered) {
    const handlers = {
      answered: (message, socket) => {
        if (this.#ended) throw new StreamClosedError("the stream was left while it connected");
        this.#socket = socket;
        answered(message);
      },
      came: (message) => this.#take(message),
      closed: (error, broken) => {
        if ((this.done && !this.#draining) || this.#ended) this.#end(null);
        else if (broken && this.#kept) this.#resume(error);
        else this.#end(error);
      },
    };
    return dial({ url: this.#url, ...this.#options }, hello, handlers);
  }

  #begin(ready) {
    if (ready.type !== "ready") throw new ProtocolError("the server's first message was not ready");
    this.ready = ready;
    this.sampleRate = this.#options.sampleRate ?? ready.sample_rate;
    this.#outgoing = new Outgoing(this.#encoding ? PCM : CODES, ready.max_message);
    this.#incoming = new Incoming(this.#encoding ? CODES : PCM, this.#options.format);
    this.#reckoning = new Reckoning(this.sampleRate, ready.hop / ready.sample_rate);
    if (this.#encoding && this.#options.resume) this.#kept = new Kept(KEPT * this.sampleRate);
  }

  async #resume(why) {
    this.#socket = null;
    this.#options.onconnection?.("lost");
    const { session } = this.ready;
    const until = performance.now() + TRYING * 1000;
    for (let wait = 0.1; !this.#ended; wait = Math.min(2, 2 * wait)) {
      const hello = { type: "resume", version: 1, session, next_frame: this.#incoming.pos, token: this.#options.token };
      try {
        return await this.#dial(hello, (message) => this.#again(message));
      } catch (error) {
        if (!isBroken(error)) return this.#end(error);
        if (performance.now() + wait * 1000 > until) return this.#end(why);
      }
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    }
  }

  #again({ type, pos, next_frame: frame }) {
    if (type !== "resumed" || frame !== this.#incoming.pos) throw new ProtocolError("the server resumed another frame");
    const entries = this.#kept.from(pos);
    if (!entries) throw new ServiceError(`the server wants sample ${pos} again, which is kept no more`, 4404);
    this.#outgoing = new Outgoing(PCM, this.ready.max_message);
    this.#incoming = new Incoming(CODES, this.#options.format, frame);
    for (const { pos: first, data } of entries) {
      this.#transmit(() => (typeof data === "string" ? [data] : this.#outgoing.pack(first, data)));
    }
    if (this.#stopped) this.#transmit(() => [STOP]);
    this.#options.onconnection?.("resumed");
  }
}
