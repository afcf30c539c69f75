/**
 * Keeping a stream open whose user sends nothing for a while: of a microphone that is muted, or of a page that the
 * system has paused. A server cuts off a client that it has heard nothing of for `ready.idle_timeout`.
 *
 * Knows: when. Does not know: what an empty message is.
 */

/** Seconds between two messages at most: proxies between may cut a connection that is silent for a minute. */
const MOST = 15;

export class Keepalive {
  #timer;
  #last = performance.now();

  /**
   * @param {object} ready the server's answer
   * @param {() => void} sendEmpty called when nothing was sent for a third of the time
   */
  constructor({ idle_timeout: limit = 3 * MOST }, sendEmpty) {
    const interval = 1000 * Math.min(MOST, limit / 3);
    this.#timer = setInterval(() => performance.now() - this.#last >= interval && sendEmpty(), interval / 2);
    this.#timer.unref?.(); // in Node: a stream that is forgotten keeps no process running
  }

  /** Something was sent. */
  sent() {
    this.#last = performance.now();
  }

  stop() {
    clearInterval(this.#timer);
  }
}
