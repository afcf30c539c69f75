/**
 * A websocket to a server, from its first message to its end, with its failures in our own words.
 *
 * Knows: WebSocket, timeouts, how a server says no. Does not know: streams, bytes, resuming.
 */

const SUBPROTOCOL = "streamrvq.v1";

/** The server refused or went away. `code` is its close code; 1006 where the connection broke or never was. */
export class ServiceError extends Error {
  name = "ServiceError";
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** The connection to `url` ended by itself, or could not be made. */
export function lost(url, what, code = 1006) {
  return new ServiceError(`the connection to ${url} ${what}`, code);
}

/**
 * Connect, say `hello`, and hand on what comes.
 * @param {{url: string, timeout: number, WebSocket: typeof WebSocket}} where `timeout` in seconds, for the answer
 * @param {object} hello the first message
 * @param {object} to
 * @param {(message: object, socket: WebSocket) => void} to.answered the server's first message
 * @param {(data: object | ArrayBuffer) => void} to.came each one after it. An exception of either closes the connection
 * @param {(error: Error, broken: boolean) => void} to.closed after an answer: why it ended; `broken` if nobody said so
 * @returns {Promise<void>} once answered
 * @throws {ServiceError} before an answer: no connection, or the server refused
 */
export function dial({ url, timeout, WebSocket }, hello, { answered, came, closed }) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, [SUBPROTOCOL]);
    let open = false; // answered
    let refusal = null; // what the server says before it closes
    const fail = (error) => {
      clearTimeout(timer);
      socket.onmessage = socket.onclose = null;
      socket.close();
      if (open) closed(error, false);
      reject(error);
    };
    const timer = setTimeout(() => fail(lost(url, `brought no answer within ${timeout} s`)), timeout * 1000);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify(hello));
    // `close` follows and says as much; but where there was no connection, some WebSockets (Node 20) leave it at this
    socket.onerror = () => open || setTimeout(() => socket.onclose?.({ code: 1006, reason: "" }), 100);
    socket.onmessage = ({ data }) => {
      try {
        const message = typeof data === "string" ? JSON.parse(data) : data;
        if (message.type === "error") refusal = new ServiceError(message.message, message.code);
        else if (open) came(message);
        else {
          clearTimeout(timer);
          open = true;
          answered(message, socket);
          resolve();
        }
      } catch (error) {
        fail(error);
      }
    };
    socket.onclose = ({ code, reason }) => {
      clearTimeout(timer);
      socket.onclose = null;
      const what = code === 1006 ? "broke" : `ended (code ${code}${reason && `: ${reason}`})`;
      const why = refusal ?? lost(url, what, code);
      if (open) closed(why, !refusal && isBroken(why));
      else reject(why);
    };
  });
}

/** Whether a network ended the connection (1006, or 1001: gone away); all other codes are a server's, and final. */
export function isBroken({ code }) {
  return code === 1001 || code === 1006;
}
