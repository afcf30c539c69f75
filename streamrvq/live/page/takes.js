/**
 * The list of takes: one row each, with its length and a button to download it.
 *
 * Knows: a list element. Does not know: streams.
 */

/** Older takes go, as the page says. */
const MOST = 10;

export class Takes {
  /** @type {Map<import("./take.js").Take, HTMLElement>} */
  #rows = new Map();
  #number = 0;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.list = list;
  }

  add(take) {
    this.#number += 1;
    const number = this.#number;
    const row = document.createElement("li");
    const text = document.createElement("span");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Download";
    button.setAttribute("aria-label", `Download take ${number}`);
    button.addEventListener("click", () => download(take));
    row.append(text, button);
    row.dataset.number = String(number);
    this.#rows.set(take, row);
    this.list.prepend(row);
    this.#trim();
    this.refresh();
  }

  /** It has ended; one that is empty goes. */
  update(take) {
    if (!take.frames) {
      this.#rows.get(take)?.remove();
      this.#rows.delete(take);
    }
    this.refresh();
  }

  /** What the rows say. */
  refresh() {
    for (const [take, row] of this.#rows) {
      const { number } = row.dataset;
      const text = `Take ${number}: ${take.seconds.toFixed(1)} s, ${take.frames} frames of ${take.codebooks} codes`;
      if (row.firstChild.textContent !== text) row.firstChild.textContent = text;
      row.lastChild.disabled = take.frames === 0;
    }
  }

  #trim() {
    while (this.#rows.size > MOST) {
      const [oldest, row] = this.#rows.entries().next().value;
      row.remove();
      this.#rows.delete(oldest);
    }
  }
}

function download(take) {
  const link = document.createElement("a");
  const when = take.began.toISOString().slice(0, 19).replaceAll(":", "");
  link.href = URL.createObjectURL(take.file());
  link.download = `streamrvq-${when}.safetensors`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
