/**
 * A websocket to a server, from its first message to its end. Its failures are reported as ServiceError.
 *
 * Knows: WebSocket, timeouts, how a server refuses. Does not know: streams, bytes, resuming.
 */

import { InputError } from "./binary.js";

const SUBPROTOCOL = "streamrvq.v1";
/** Close codes of RFC 6455: the other side goes away; the connection broke without a close frame. */
const GOING_AWAY = 1001;
const BROKEN = 1006;
/** The server has no place for another connection, or for one without a token yet. */
const FULL = 1013;
/** The server's text messages after which something is done. Those of other types are a newer server's. */
const TYPES = new Set(["ready", "resumed", "marker", "gap", "drain", "done", "error"]);

/** The server refused or went away. `code` is its close code; 1006 if the connection broke or was never made. */
export class ServiceError extends Error {
  name = "ServiceError";
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** The connection to `url` ended by itself, or could not be made. */
function connectionError(url, what, code = BROKEN) {
  return new ServiceError(`the connection to ${url} ${what}`, code);
}

/**
 * Connect, send the first message, and pass on what the server sends.
 * @param {{url: string, timeout: number, WebSocket: typeof WebSocket}} options `timeout`: seconds until the answer
 * @param {object} first the first message
 * @param {object} handlers an exception of `onAnswer` or `onMessage` closes the connection
 * @param {(message: object, socket: WebSocket) => void} handlers.onAnswer the server's first message
 * @param {(data: object | ArrayBuffer) => void} handlers.onMessage each message after it
 * @param {(error: Error, broken: boolean) => void} handlers.onClose the end of an answered connection, with its reason;
 *   `broken` if the server did not close it
 * @returns {Promise<void>} resolved by the answer
 * @throws {ServiceError} before an answer: no connection, or the server refused
 * @throws {InputError} there can be no websocket at this address
 */
export function openConnection({ url, timeout, WebSocket }, first, { onAnswer, onMessage, onClose }) {
  return new Promise((resolve, reject) => {
    const socket = opened(WebSocket, url);
    let answered = false;
    let refusal = null; // the server's error message, which it sends before it closes
    const fail = (error) => {
      clearTimeout(timer);
      socket.onmessage = socket.onclose = null;
      socket.close();
      if (answered) onClose(error, false);
      reject(error);
    };
    const expire = () => fail(connectionError(url, `brought no answer within ${timeout} s`));
    const timer = setTimeout(expire, timeout * 1000);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify(first));
    // `close` normally follows and says the same. But some WebSockets (Node 20) do not send it if they never connected.
    socket.onerror = () => answered || setTimeout(() => socket.onclose?.({ code: BROKEN, reason: "" }), 100);
    socket.onmessage = ({ data }) => {
      try {
        const message = typeof data === "string" ? JSON.parse(data) : data;
        if (typeof message.type === "string" && !TYPES.has(message.type)) return;
        if (message.type === "error") refusal = new ServiceError(message.message, message.code);
        else if (answered) onMessage(message);
        else {
          clearTimeout(timer);
          answered = true;
          onAnswer(message, socket);
          resolve();
        }
      } catch (error) {
        fail(error);
      }
    };
    socket.onclose = ({ code, reason }) => {
      clearTimeout(timer);
      socket.onclose = null;
      const slash = /^wss?:\/\/[^/]+\/.*[^/]$/.test(url) ? "; below a path the address ends in a slash" : "";
      const broke = answered ? "broke" : `could not be made${slash}`;
      const what = code === BROKEN ? broke : `ended (code ${code}${reason && `: ${reason}`})`;
      const error = refusal ?? connectionError(url, what, code);
      if (answered) onClose(error, !refusal && isBroken(error));
      else reject(error);
    };
  });
}

function opened(WebSocket, url) {
  try {
    return new WebSocket(url, [SUBPROTOCOL]);
  } catch (error) {
    const wanted = "ws://HOST:PORT/, or wss://HOST:PORT/ as from a page that is https";
    throw new InputError(`there is no websocket at ${url} (${error.message}); wanted ${wanted}`, { cause: error });
  }
}

/** Whether the network ended the connection. All other codes come from a server and end a stream. */
export function isBroken({ code }) {
  return code === GOING_AWAY || code === BROKEN;
}

/** Whether the next attempt to connect may succeed: the network failed this one, or the server was full. */
export function isPassing(error) {
  return isBroken(error) || error.code === FULL;
}
