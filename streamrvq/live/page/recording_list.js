/**
 * The list of recordings: one row each, with its length and a button to download it.
 *
 * Knows: a list element. Does not know: streams.
 */

/** Older recordings are removed, as the page says. */
const MAX_ROWS = 10;

export class RecordingList {
  /** @type {Map<import("./recording.js").Recording, HTMLElement>} */
  #rows = new Map();
  #count = 0;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.list = list;
  }

  add(recording) {
    this.#count += 1;
    const number = this.#count;
    const row = document.createElement("li");
    const text = document.createElement("span");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Download";
    button.setAttribute("aria-label", `Download recording ${number}`);
    button.addEventListener("click", () => download(recording));
    row.append(text, button);
    row.dataset.number = String(number);
    this.#rows.set(recording, row);
    this.list.prepend(row);
    this.refresh();
  }

  /** A recording has ended; an empty one is removed. */
  update(recording) {
    if (!recording.frames) {
      this.#rows.get(recording)?.remove();
      this.#rows.delete(recording);
    }
    this.refresh();
  }

  /** Write the present lengths into the rows. */
  refresh() {
    this.#trim();
    for (const [{ seconds, frames, codebooks }, row] of this.#rows) {
      const { number } = row.dataset;
      const text = `Recording ${number}: ${seconds.toFixed(1)} s, ${frames} frames of ${codebooks} codes`;
      if (row.firstChild.textContent !== text) row.firstChild.textContent = text;
      row.lastChild.disabled = frames === 0;
    }
  }

  /** One without a frame yet may stay empty, and then takes no other's place. */
  #trim() {
    const full = [...this.#rows.keys()].filter(({ frames }) => frames);
    for (const oldest of full.slice(0, -MAX_ROWS)) {
      this.#rows.get(oldest).remove();
      this.#rows.delete(oldest);
    }
  }
}

function download(recording) {
  const link = document.createElement("a");
  const time = recording.began.toISOString().slice(0, 19).replaceAll(":", "");
  link.href = URL.createObjectURL(recording.file());
  link.download = `streamrvq-${time}.safetensors`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
