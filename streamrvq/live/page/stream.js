/**
 * One stream on a server: what is sent, what is received, and how it is resumed when the connection breaks.
 *
 * Knows: the order of messages, resuming. Does not know: WebSocket, bytes (binary.js), what is kept, times, pauses.
 */

import { checkedCodes, CODES, Incoming, InputError, Outgoing, PCM, ProtocolError, toFormat } from "./binary.js";
import { isBroken, isPassing, openConnection, ServiceError } from "./connection.js";
import { Keepalive } from "./keepalive.js";
import { Markers } from "./markers.js";
import { ResendBuffer } from "./resend.js";
import { FrameTiming } from "./timing.js";

/** Seconds: `send` waits while it is further ahead of what was received; how long to try to resume. */
const MAX_AHEAD = 10;
const RESUME_TIME = 20;
const STOP = '{"type":"stop"}';
const OPEN = 1; // of a WebSocket's readyState
const RESTART = 1012; // the close code of a server that goes down
const seconds = () => performance.now() / 1000;

/** A stream that has ended was used. */
export class StreamClosedError extends Error {
  name = "StreamClosedError";
}

/** One stream on a server, made by `connect`; an async iterator of Frames, Gap, Marker and (decoding) Samples. */
export class Stream {
  #url;
  #options;
  #encoding;
  #socket = null; // null while there is no connection
  #outgoing;
  #incoming;
  #resend = null;
  #timing;
  #keepalive;
  #pos = 0; // of the next sample, or frame, that is sent
  #received = 0; // seconds of audio that the received items cover
  #gapsEnd = 0; // where the last gap that the server has handled ends
  #markers = new Markers();
  #items = [];
  #readers = []; // resolvers of next()
  #senders = []; // resolvers of send()
  #stopped = false;
  #draining = false;
  #ended = false;
  #error = null;
  #thrown = false; // next() has thrown the error

  /** The server's description of its codec and this stream, with the field names of the protocol. */
  ready = null;
  /** The server's totals; null before the end. */
  done = null;

  constructor(url, options) {
    this.#url = url;
    this.#options = { mode: "encode", format: "s16le", resume: true, timeout: 30, WebSocket: globalThis.WebSocket };
    for (const [name, value] of Object.entries(options)) if (value !== undefined) this.#options[name] = value;
    this.#encoding = this.#options.mode === "encode";
    if (!this.#options.WebSocket) throw new InputError("no WebSocket: take Node 22, or --experimental-websocket");
  }

  /** @internal */
  async _open() {
    const { mode, sampleRate, format, nQuantizers, token } = this.#options;
    const pcm = { sample_rate: sampleRate, format, n_quantizers: nQuantizers };
    await this.#connect({ type: "start", version: 1, mode, ...pcm, token }, (message) => this.#begin(message));
  }

  // ------------------------------------------------------------- sending

  /**
   * Send samples or, to a decoding stream, codes as an encoding stream gives them: `{codes, codebooks}`. They are sent
   * in the order of the calls. Awaiting the promise keeps a fast sender from running ahead; a live one need not.
   * @param {Float32Array | Int16Array | {codes: Uint16Array, codebooks: number}} block
   * @param {number} [captured] when its last sample was captured, by `performance.now()`
   * @throws {InputError} bad samples or codes; nothing was sent
   * @throws {StreamClosedError} after `stop`
   * @throws {ServiceError} the stream has ended
   */
  async send(block, captured) {
    this.#checkOpen("send");
    const { format } = this.#options;
    const { array, codebooks } = this.#encoding ? { array: toFormat(block, format) } : checkedCodes(block, this.ready);
    const count = array.length / (codebooks || 1);
    const pos = this.#pos;
    this.#pos += count;
    if (this.#encoding) {
      this.#timing.sent(this.#pos, captured ?? performance.now(), captured !== undefined);
      this.#resend?.add(pos, count, array);
    }
    this.#transmit(() => this.#outgoing.pack(pos, array, codebooks));
    while (!this.#ended && this.#ahead > MAX_AHEAD) await new Promise((resolve) => this.#senders.push(resolve));
    if (this.#error) throw this.#error;
  }

  /** Report that `samples` samples were lost at this point of the stream. Throws as `send` does. */
  async gap(samples) {
    this.#checkOpen("gap");
    if (!(Number.isSafeInteger(samples) && samples > 0)) throw new InputError(`a gap of ${samples}; wanted 1 or more`);
    this.#sendText({ type: "gap", pos: this.#pos, samples }, samples);
  }

  /** Ask for a Marker among the items, after the items of everything sent before. Throws as `send` does. */
  async marker(id) {
    this.#checkOpen("marker");
    this.#markers.ask(id, this.#pos);
    this.#sendText({ type: "marker", id });
  }

  /** Encode with `nQuantizers` codebooks from the first frame that has not begun. Throws as `send` does. */
  async set(nQuantizers) {
    this.#checkOpen("set");
    if (!(Number.isInteger(nQuantizers) && nQuantizers >= 1 && nQuantizers <= this.ready.codebooks)) {
      throw new InputError(`nQuantizers is ${nQuantizers}; this codec has 1 to ${this.ready.codebooks}`);
    }
    this.#sendText({ type: "set", n_quantizers: nQuantizers });
  }

  /** End the input: the remaining items come, then the iteration ends. May be repeated. Throws as `send` does. */
  async stop() {
    if (this.#stopped) return;
    this.#checkOpen("stop");
    this.#stopped = true;
    this.#transmit(() => [STOP]);
  }

  /** Leave at once and give up the remaining items. The iteration ends. */
  close() {
    this.#socket?.close(1000);
    this.#end(null);
  }

  /** @returns {import("./timing.js").Stats} */
  stats() {
    return this.#timing.stats();
  }

  /** Bytes that wait in this browser, since the network or the server takes them too slowly. */
  get unsent() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Send a text message, which stands for `length` samples. */
  #sendText(message, length = 0) {
    const text = JSON.stringify(message);
    this.#resend?.add(this.#pos, length, text);
    this.#pos += length;
    this.#transmit(() => [text]);
  }

  /** Send messages if there is a connection. One that is closing takes none, and reports its end later. */
  #transmit(messages) {
    if (this.#socket?.readyState !== OPEN) return;
    for (const message of messages()) this.#socket.send(message);
    this.#keepalive.sent();
  }

  #checkOpen(doing) {
    if (this.#error) throw this.#error;
    if (this.#draining) throw new ServiceError("the server is going down; what was sent is still answered", RESTART);
    if (this.#stopped || this.#ended) throw new StreamClosedError(`${doing} after the end; connect again for another`);
  }

  get #ahead() {
    return this.#pos / (this.#encoding ? this.sampleRate : this.ready.sample_rate / this.ready.hop) - this.#received;
  }

  // ------------------------------------------------------------- receiving

  [Symbol.asyncIterator]() {
    return this;
  }

  /** The next item. The error that ended the stream is thrown once, after the last item. */
  async next() {
    while (!this.#items.length && !this.#ended) await new Promise((resolve) => this.#readers.push(resolve));
    if (this.#items.length) return { done: false, value: this.#items.shift() };
    if (this.#error && !this.#thrown) {
      this.#thrown = true;
      throw this.#error;
    }
    return { done: true, value: undefined };
  }

  #put(item) {
    this.#items.push(item);
    this.#readers.shift()?.();
  }

  #end(error) {
    if (this.#ended) return;
    [this.#ended, this.#error, this.#socket] = [true, error, null];
    this.#keepalive?.stop();
    for (const wake of [...this.#readers.splice(0), ...this.#senders.splice(0)]) wake();
  }

  #receive(data) {
    if (!(data instanceof ArrayBuffer)) this.#text(data);
    else if (this.#encoding) this.#frames(this.#incoming.take(data));
    else this.#samples(this.#incoming.take(data));
    if (this.#ahead <= MAX_AHEAD) for (const wake of this.#senders.splice(0)) wake();
  }

  #frames({ pos: index, count, codebooks, array: codes }) {
    if (!count) return;
    this.#timing.frames(index, count, performance.now());
    this.#received = this.#timing.time(index + count);
    this.#resend?.received(this.#received);
    this.#put({ type: "frames", index, time: this.#timing.time(index), count, codebooks, codes });
  }

  #samples({ pos: position, count, array: samples }) {
    this.#received = (position + count) / this.sampleRate;
    if (count) this.#put({ type: "samples", position, samples });
  }

  #text(message) {
    if (message.type === "done") this.done = this.#incoming.checkEnd(message);
    else if (message.type === "marker") {
      const [id, frame] = [message.id, this.#incoming.pos];
      if (this.#markers.take(id, frame, this.#timing.reached(frame))) this.#put({ type: "marker", id });
    } else if (message.type === "gap") {
      const { pos: position, samples, filled, next_frame: nextFrame } = message;
      if (position < this.#gapsEnd) return;
      this.#gapsEnd = position + samples;
      this.#timing.gap(position, samples, filled, nextFrame);
      this.#received = Math.max(this.#received, this.#timing.time(nextFrame));
      this.#resend?.received(this.#received);
      this.#put({ type: "gap", position, samples, filled, nextFrame });
    } else if (message.type === "drain" && !this.#stopped) {
      this.#draining = this.#stopped = true; // what has been sent is the last that the server receives
      this.#transmit(() => [STOP]);
    }
  }

  // ------------------------------------------------------------- connections

  #connect(first, onAnswer, timeout = this.#options.timeout) {
    const handlers = {
      onAnswer: (message, socket) => {
        if (this.#ended) throw new StreamClosedError("the stream was left while it connected");
        this.#socket = socket;
        onAnswer(message);
      },
      onMessage: (message) => this.#receive(message),
      onClose: (error, broken) => {
        if ((this.done && !this.#draining) || this.#ended) this.#end(null);
        else if (broken && this.#resend) this.#resume(error).catch((failure) => this.#end(failure));
        else this.#end(error);
      },
    };
    return openConnection({ url: this.#url, ...this.#options, timeout }, first, handlers);
  }

  #begin(ready) {
    if (ready.type !== "ready") throw new ProtocolError("the server's first message was not ready");
    [this.ready, this.sampleRate] = [ready, this.#options.sampleRate ?? ready.sample_rate];
    this.#outgoing = new Outgoing(this.#encoding ? PCM : CODES, ready.max_message);
    this.#incoming = new Incoming(this.#encoding ? CODES : PCM, this.#options.format);
    this.#timing = new FrameTiming(this.sampleRate, ready.hop / ready.sample_rate);
    const levels = this.#encoding ? 0 : (this.#options.nQuantizers ?? ready.codebooks);
    this.#keepalive = new Keepalive(ready, () => this.#transmit(() => [this.#outgoing.empty(this.#pos, levels)]));
    if (this.#encoding && this.#options.resume) this.#resend = new ResendBuffer(this.sampleRate);
  }

  async #resume(loss) {
    this.#socket = null;
    this.#options.onconnection?.("lost");
    const [session, until] = [this.ready.session, seconds() + RESUME_TIME];
    for (let wait = 0.1; !this.#ended; wait = Math.min(2, 2 * wait)) {
      const first = { type: "resume", version: 1, session, next_frame: this.#incoming.pos, token: this.#options.token };
      try {
        const timeout = Math.min(this.#options.timeout, Math.max(wait, until - seconds()));
        return await this.#connect(first, (message) => this.#resumed(message), timeout);
      } catch (error) {
        if (!isPassing(error)) return this.#end(error);
        if (seconds() + wait > until) return this.#end(isBroken(error) ? loss : error);
      }
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    }
  }

  #resumed({ type, pos, next_frame: frame }) {
    if (type !== "resumed" || frame !== this.#incoming.pos) throw new ProtocolError("the server resumed another frame");
    const entries = this.#resend.from(pos);
    if (!entries) throw new ServiceError(`the server wants sample ${pos} again, which is no longer kept`, 4404);
    this.#outgoing = new Outgoing(PCM, this.ready.max_message);
    this.#incoming = new Incoming(CODES, this.#options.format, frame);
    this.#markers.resume(frame);
    for (const { pos: first, data } of entries) {
      this.#transmit(() => (typeof data === "string" ? [data] : this.#outgoing.pack(first, data)));
    }
    if (this.#stopped) this.#transmit(() => [STOP]);
    this.#options.onconnection?.("resumed");
  }
}
