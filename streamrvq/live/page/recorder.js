/**
 * From Start to Stop: the microphone, the stream, the recordings and the player, and what happens when one fails.
 *
 * Knows: their order. Does not know: what is shown (page.js), how they work.
 */

import { isBroken, isPassing } from "./connection.js";
import { Microphone } from "./microphone.js";
import { Recording } from "./recording.js";
import { connect } from "./streamrvq.js";
import { TokenPlayer } from "./token_player.js";

/**
 * Close codes after which a new stream is opened: the server restarts; it no longer has the stream to resume; it heard
 * nothing for too long, since the system had paused the page.
 */
const RESTART = 1012;
const NO_SESSION = 4404;
const TOO_SLOW = 4408;
/** Seconds: how long to try to open a new stream, and how long to wait between two attempts. */
const RETRY_TIME = 20;
const RETRY_INTERVAL = 0.5;
/**
 * Seconds of sound: of more than this unsent, nothing is added until little waits. Else a browser whose network is too
 * slow would keep all of it. A stream that is resumed sends at once what it keeps: see resend.js.
 */
const MAX_UNSENT = 60;
const LITTLE_UNSENT = 1;
const BYTES = 2; // of a sample, as it is sent

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export class Recorder {
  #microphone = null;
  #stream = null;
  #recording = null;
  #player = null;
  #playerRetriesEnd = null; // of the time in which a failed player is opened again
  #playerWanted = false;
  #captured = null; // samples since the first stream began
  #streamStart = 0; // where the present stream began, in those samples
  #connected = false; // the encoding stream
  #skipped = 0; // samples that were not sent, since too many waited
  #slow = false; // the page was told so
  #stopping = false;
  #stopReason = undefined; // an error, unless the user stopped it

  /**
   * @param {string} url of the server
   * @param {object} handlers
   * @param {(state: "starting" | "connecting" | "live" | "slow" | "lost" | "reopening" | "stopping" | "idle",
   *   error?: Error) => void} handlers.onState `starting`: the microphone is asked for; `slow`: sound is lost, for the
   *   network takes it too slowly; `lost`: the connection broke, and the stream is being resumed; `reopening`: the
   *   stream is gone (`error` says why), and a new one is being opened; `idle` with an error: it ended by itself
   * @param {(ready: object) => void} handlers.onReady the server's answer
   * @param {(item: object) => void} handlers.onItem frames and gaps
   * @param {(samples: Float32Array) => void} handlers.onSamples what the microphone captured
   * @param {(recording: Recording, started: boolean) => void} handlers.onRecording a recording started or ended
   * @param {(error: Error) => void} handlers.onPlayerError playing the tokens failed
   */
  constructor(url, handlers) {
    this.url = url;
    this.handlers = handlers;
  }

  /** Codebooks to encode with; undefined: all of the codec's. */
  nQuantizers = undefined;
  token = undefined;

  async start() {
    this.#stopping = false;
    this.#stopReason = undefined;
    this.#captured = null;
    this.handlers.onState("starting");
    this.#microphone = new Microphone({
      onBlock: (samples, captured) => this.#block(samples, captured),
      onLost: (samples) => this.#lost(samples),
      onEnded: () => this.stop(new DOMException("the device has gone", "AbortError")),
    });
    try {
      await this.#microphone.open();
      this.handlers.onState("connecting");
      await this.#begin();
    } catch (error) {
      await this.#end(error);
      return;
    }
    this.#read();
  }

  /** Stop. The remaining codes still come; `reason` is reported at the end. */
  async stop(reason) {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#stopReason = reason;
    this.handlers.onState("stopping");
    this.#microphone.mute();
    await this.#stream?.stop().catch(() => {}); // #read continues until everything was received
  }

  /** Encode with `nQuantizers` codebooks from now on. */
  set(nQuantizers) {
    this.nQuantizers = nQuantizers;
    this.#setLevels();
  }

  /** All that there are, where more were chosen: the server may have another codec by now. */
  #setLevels() {
    if (!this.#stream || this.nQuantizers === undefined) return;
    const levels = Math.min(this.nQuantizers, this.#stream.ready.codebooks);
    this.#stream.set(levels).catch(() => {}); // #read reports the error
  }

  /** Start or stop playing the tokens. */
  listen(wanted) {
    this.#playerWanted = wanted;
    if (wanted) this.#startPlayer();
    else this.#stopPlayer();
  }

  /** @returns {import("./timing.js").Stats | undefined} */
  stats() {
    return this.#stream?.stats();
  }

  async #begin() {
    const { sampleRate } = this.#microphone.context;
    const options = { sampleRate, token: this.token };
    const onconnection = (state) => {
      this.#connected = state === "resumed";
      this.#slow = false;
      if (!this.#stopping) this.handlers.onState(this.#connected ? "live" : "lost"); // nothing is captured any more
      this.#startPlayer();
    };
    this.#stream = await connect(this.url, { ...options, format: "s16le", onconnection });
    this.#connected = true;
    this.handlers.onReady(this.#stream.ready);
    this.#captured ??= 0;
    [this.#skipped, this.#slow] = [0, false]; // what was skipped lies before this stream
    this.#newRecording(this.#captured);
    this.#setLevels(); // from the first frame on, for nothing was sent yet
    if (this.#stopping)
      this.#stream.stop().catch(() => {}); // while it connected
    else this.handlers.onState("live");
    this.#startPlayer();
  }

  async #read() {
    for (;;) {
      try {
        for await (const item of this.#stream) this.#item(item);
        this.#endRecording(this.#stream.done);
        return await this.#end(this.#stopReason);
      } catch (error) {
        this.#endRecording(this.#stream.done); // null, unless a server that goes down had sent all
        if (this.#stopping || ![RESTART, NO_SESSION, TOO_SLOW].includes(error.code)) return await this.#end(error);
        this.handlers.onState("reopening", error);
        if (!(await this.#reopen(error))) return;
      }
    }
  }

  /** Open a new stream in place of one that is gone. Returns false if that fails. */
  async #reopen(error) {
    this.#stream = null;
    this.#connected = false;
    const until = performance.now() + RETRY_TIME * 1000;
    while (!this.#stopping) {
      try {
        await this.#begin();
        return true;
      } catch (refusal) {
        error = refusal;
        const passing = isPassing(refusal) || refusal.code === RESTART;
        if (!passing || performance.now() > until) break;
      }
      await wait(RETRY_INTERVAL);
    }
    await this.#end(this.#stopping ? this.#stopReason : error);
    return false;
  }

  #item(item) {
    if (item.type === "gap") {
      const position = this.#streamStart + item.position;
      if (item.filled) this.#recording.gap({ position, samples: item.samples });
      else {
        this.#recording.finish(position);
        this.handlers.onRecording(this.#recording, false);
        this.#newRecording(position + item.samples);
      }
    } else if (item.type === "frames") {
      this.#recording.add(item);
      this.#player?.feed(item);
    }
    this.handlers.onItem(item);
  }

  #block(samples, captured) {
    if (this.#captured !== null) this.#captured += samples.length;
    this.handlers.onSamples(samples);
    if (!this.#stream || this.#skips(samples.length)) return;
    this.#stream.send(samples, captured).catch(() => {}); // #read reports the error
  }

  /** Whether too much waits to be sent for so many more samples. They are then part of a gap. */
  #skips(count) {
    const unsent = this.#stream.unsent / BYTES / this.#microphone.context.sampleRate;
    if (unsent > (this.#skipped ? LITTLE_UNSENT : MAX_UNSENT)) {
      if (!this.#skipped) {
        this.#slow = true;
        this.handlers.onState("slow");
      }
      this.#skipped += count;
      return true;
    }
    if (this.#skipped) {
      this.#stream.gap(this.#skipped).catch(() => {});
      this.#skipped = 0;
      if (this.#slow) this.handlers.onState("live");
      this.#slow = false;
    }
    return false;
  }

  #lost(samples) {
    if (this.#captured !== null) this.#captured += samples;
    if (this.#skipped) this.#skipped += samples;
    else this.#stream?.gap(samples).catch(() => {});
  }

  #newRecording(start) {
    if (!this.#recording) this.#streamStart = start;
    this.#recording = new Recording(this.#stream.ready, this.#microphone.context.sampleRate, start);
    this.handlers.onRecording(this.#recording, true);
  }

  #endRecording(done) {
    if (done) this.#recording.finish(this.#streamStart + done.samples + done.lost);
    this.handlers.onRecording(this.#recording, false);
    this.#recording = null;
  }

  async #startPlayer() {
    if (!this.#playerWanted || this.#player || !this.#connected) return;
    const player = new TokenPlayer();
    this.#player = player;
    const onError = (error) => {
      if (this.#player !== player) return;
      this.#stopPlayer();
      const now = performance.now();
      this.#playerRetriesEnd ??= now + RETRY_TIME * 1000;
      // Not where the server is full: who clicks is told at once.
      if ((isBroken(error) || error.code === RESTART) && now < this.#playerRetriesEnd) {
        setTimeout(() => this.#startPlayer(), RETRY_INTERVAL * 1000);
      } else {
        this.#playerRetriesEnd = null;
        this.#playerWanted = false; // until it is asked for again
        this.handlers.onPlayerError(error);
      }
    };
    try {
      await player.open(this.#microphone.context, this.url, this.token, onError);
      this.#playerRetriesEnd = null;
      if (this.#player !== player) player.close(); // no longer wanted
    } catch (error) {
      player.close(); // it may be connected
      if (this.#connected) onError(error);
      else if (this.#player === player) this.#stopPlayer(); // it restarts on connection
    }
  }

  #stopPlayer() {
    this.#player?.close();
    this.#player = null;
  }

  async #end(error) {
    const [stream, microphone, player] = [this.#stream, this.#microphone, this.#player];
    this.#stream = this.#player = null;
    this.#connected = false;
    stream?.close();
    microphone?.mute();
    this.handlers.onState("idle", error);
    await player?.finish();
    microphone?.close();
  }
}
