/**
 * From Start to Stop: microphone, stream, takes and listening, and what happens when one of them fails.
 *
 * Knows: their order. Does not know: what is shown (page.js), how they work.
 */

import { Listening } from "./listening.js";
import { Microphone } from "./microphone.js";
import { connect } from "./streamrvq.js";
import { Take } from "./take.js";

/** Close codes after which a new stream is begun: the server restarts; it no longer has the stream to resume. */
const RESTART = 1012;
const NO_SESSION = 4404;
/** Those with which listening is worth another try: gone away, broken, restart. */
const PASSING = new Set([1001, 1006, RESTART]);
/** Seconds: how long to try for a new stream, how long to wait between. */
const TRYING = 20;
const BETWEEN = 0.5;

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export class Session {
  #microphone = null;
  #stream = null;
  #take = null;
  #listening = null;
  #wanted = false; // listening
  #captured = null; // samples since the first stream began
  #from = 0; // where the present stream began, in such samples
  #connected = false; // the encoding stream is
  #stopping = false;
  #why = undefined; // it was stopped, if not by the user

  /**
   * @param {string} url of the server
   * @param {object} to
   * @param {(state: "starting" | "live" | "lost" | "again" | "stopping" | "idle", error?: Error) => void} to.state
   *   `lost`: the connection broke, and is being tried; `again`: the stream is gone (`error` says why), and a new one
   *   is being opened; `idle` with an error: it ended by itself
   * @param {(ready: object) => void} to.ready the server's answer
   * @param {(item: object) => void} to.item frames and gaps
   * @param {(samples: Float32Array) => void} to.heard what the microphone gave
   * @param {(take: Take, started: boolean) => void} to.take one began or ended
   * @param {(error: Error) => void} to.deaf listening failed
   */
  constructor(url, to) {
    this.url = url;
    this.to = to;
  }

  /** Codes of a frame; the server's own number where it is undefined. */
  nQuantizers = undefined;
  token = undefined;

  async start() {
    this.#stopping = false;
    this.#why = undefined;
    this.#captured = null;
    this.to.state("starting");
    this.#microphone = new Microphone({
      block: (samples, captured) => this.#block(samples, captured),
      lost: (samples) => this.#lost(samples),
      ended: () => this.stop(new DOMException("the device has gone", "AbortError")),
    });
    try {
      await this.#microphone.open();
      await this.#begin();
    } catch (error) {
      await this.#end(error);
      return;
    }
    this.#read();
  }

  /** Stop, with all codes still owed; `why` is told at the end. */
  async stop(why) {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#why = why;
    this.to.state("stopping");
    this.#microphone.mute();
    await this.#stream?.stop().catch(() => {}); // #read goes on to the end
  }

  /** Codes of a frame, from now on. */
  set(nQuantizers) {
    this.nQuantizers = nQuantizers;
    this.#stream?.set(nQuantizers).catch(() => {}); // #read says why
  }

  /** Hear the tokens, or no longer. */
  listen(wanted) {
    this.#wanted = wanted;
    if (wanted) this.#hear();
    else this.#silence();
  }

  /** @returns {import("./reckoning.js").Stats | undefined} */
  stats() {
    return this.#stream?.stats();
  }

  async #begin() {
    const start = { sampleRate: this.#microphone.context.sampleRate, nQuantizers: this.nQuantizers, token: this.token };
    const onconnection = (state) => {
      this.#connected = state === "resumed";
      this.to.state(this.#connected ? "live" : "lost");
      this.#hear();
    };
    this.#stream = await connect(this.url, { ...start, format: "s16le", onconnection });
    this.#connected = true;
    this.to.ready(this.#stream.ready);
    this.#captured ??= 0;
    this.#newTake(this.#captured);
    if (this.#stopping)
      this.#stream.stop().catch(() => {}); // while it connected
    else this.to.state("live");
    this.#hear();
  }

  async #read() {
    for (;;) {
      try {
        for await (const item of this.#stream) this.#item(item);
        this.#endTake(this.#stream.done);
        return await this.#end(this.#why);
      } catch (error) {
        this.#endTake(null);
        if (this.#stopping || ![RESTART, NO_SESSION].includes(error.code)) return await this.#end(error);
        this.to.state("again", error);
        if (!(await this.#again(error))) return;
      }
    }
  }

  /** A new stream in place of one that is gone. False if there is none to be had. */
  async #again(error) {
    this.#stream = null;
    this.#connected = false;
    const until = performance.now() + TRYING * 1000;
    while (!this.#stopping) {
      try {
        await this.#begin();
        return true;
      } catch (refusal) {
        error = refusal;
        if (!PASSING.has(refusal.code) || performance.now() > until) break;
      }
      await wait(BETWEEN);
    }
    await this.#end(this.#stopping ? this.#why : error);
    return false;
  }

  #item(item) {
    if (item.type === "gap" && item.filled) this.#take.gap({ ...item, position: this.#from + item.position });
    else if (item.type === "gap") {
      this.#take.finish(this.#from + item.position);
      this.to.take(this.#take, false);
      this.#newTake(this.#from + item.position + item.samples);
    } else if (item.type === "frames") {
      this.#take.add(item);
      this.#listening?.feed(item);
    }
    this.to.item(item);
  }

  #block(samples, captured) {
    if (this.#captured !== null) this.#captured += samples.length;
    this.to.heard(samples);
    this.#stream?.send(samples, captured).catch(() => {}); // #read says why
  }

  #lost(samples) {
    if (this.#captured !== null) this.#captured += samples;
    this.#stream?.gap(samples).catch(() => {});
  }

  #newTake(start) {
    if (!this.#take) this.#from = start;
    this.#take = new Take(this.#stream.ready, this.#microphone.context.sampleRate, start);
    this.to.take(this.#take, true);
  }

  #endTake(done) {
    if (done) this.#take.finish(this.#from + done.samples + done.lost);
    this.to.take(this.#take, false);
    this.#take = null;
  }

  async #hear() {
    if (!this.#wanted || this.#listening || !this.#connected) return;
    const listening = new Listening();
    this.#listening = listening;
    const failed = (error) => {
      if (this.#listening !== listening) return;
      this.#silence();
      if (PASSING.has(error.code)) setTimeout(() => this.#hear(), BETWEEN * 1000);
      else this.to.deaf(error);
    };
    try {
      await listening.open(this.#microphone.context, this.url, this.token, failed);
      if (this.#listening !== listening) listening.close(); // not wanted any more
    } catch (error) {
      if (this.#listening !== listening) return;
      this.#silence();
      if (this.#connected) this.to.deaf(error); // else it is tried again once there is a connection
    }
  }

  #silence() {
    this.#listening?.close();
    this.#listening = null;
  }

  async #end(error) {
    const [stream, microphone, listening] = [this.#stream, this.#microphone, this.#listening];
    this.#stream = this.#listening = null;
    this.#connected = false;
    stream?.close();
    microphone?.mute();
    this.to.state("idle", error);
    await listening?.finish();
    microphone?.close();
  }
}
