/**
 * Errors as sentences for the user: what went wrong, and what to do.
 *
 * Knows: names of browsers' errors, close codes of the server. Does not know: the page.
 */

const DEVICE = {
  NotAllowedError: "The microphone was refused. Allow it for this page, beside the address, and start again.",
  NotFoundError: "There is no microphone. Connect one and start again.",
  NotReadableError: "The microphone cannot be read: another program may hold it. Free it and start again.",
  SecurityError:
    "Browsers give the microphone only to pages from https, or from this computer (localhost). Open the page that way.",
  AbortError: "The microphone has gone. Connect it and start again.",
};

const SERVER = {
  1006: "The connection was lost, and did not come back. Check the network and start again.",
  1001: "The connection was lost, and did not come back. Check the network and start again.",
  1011: "The server failed. Its operator finds more in its log.",
  1012: "The server restarted, and has not come back yet. Start again in a moment.",
  1013: "The server is full: every place is taken. Try again in a while.",
  4401: "This server wants a token. Enter it below.",
  4404: "The server no longer has this stream. Start again.",
  4406: "The server speaks another version of the protocol. Reload this page.",
  4408: "The server heard nothing for too long. Start again.",
};

/** Before anything was answered. A browser does not tell a page why: its console does. */
const NOT_CONNECTED =
  "The server cannot be reached, or lets no websocket of this page through. Check the network; a reverse proxy must " +
  "pass websockets on, and the server be started with --origin and this page's address.";
const WRONG_TOKEN = "The server does not take this token. Check it, and enter it again below.";

/**
 * Why the capture ended.
 * @param {Error} error
 * @param {boolean} connected whether the server had answered before
 * @param {string | undefined} token what was sent
 */
export function explain(error, connected, token) {
  if (error instanceof DOMException) {
    return DEVICE[error.name] ?? `The microphone cannot be used (${error.name}: ${error.message}).`;
  }
  if (error.code === 4401 && token) return WRONG_TOKEN;
  if (error.code === 1006 && !connected) return NOT_CONNECTED;
  return SERVER[error.code] ?? `${error.message} (${error.code ?? error.name}).`;
}

/** Why a new stream had to be opened. */
export function explainNewStream(error) {
  const reason = error.code === 1012 ? "The server is restarting" : "The connection was lost for too long";
  return `${reason}. What came so far is kept below; opening a new stream…`;
}
