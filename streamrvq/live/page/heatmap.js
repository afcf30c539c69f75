/**
 * The picture of the codes: a row for each codebook, the coarsest on top, a column for each frame, the newest on the
 * right. Where motion is not wanted the picture stands still and a line sweeps over it.
 *
 * Knows: a canvas. Does not know: streams, the page.
 */

/** From code 0 to the last: night, sea, moss, sand, paper. All are told apart from the panel they lie on. */
const COLOURS = ["#1d2b53", "#20607a", "#3f9180", "#b9a74c", "#f0a35e", "#fbeed3"];
const LOST = "#ff5d4a";
/** Columns that are remembered; pixels a column is wide; pixels between rows. */
const MOST = 2048;
const WIDE = 3;
const NARROW = 2; // on a phone
const BETWEEN = 2;

/** `size` colours, as ABGR words. */
function palette(size) {
  const stops = COLOURS.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  return Uint32Array.from({ length: size }, (_, code) => {
    const place = (code / Math.max(1, size - 1)) * (stops.length - 1);
    const left = Math.min(Math.floor(place), stops.length - 2);
    const [r, g, b] = stops[left].map((value, i) => Math.round(value + (stops[left + 1][i] - value) * (place - left)));
    return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  });
}

export class HeatMap {
  #canvas;
  #memory = document.createElement("canvas"); // a pixel a code; columns go round
  #colours = palette(1024);
  #rows = 9;
  #count = 0; // frames so far
  #dirty = true;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.begin(9, 1024);
  }

  /** Frames that fit. */
  get columns() {
    const { clientWidth } = this.#canvas;
    return Math.max(1, Math.min(MOST, Math.floor(clientWidth / (clientWidth < 480 ? NARROW : WIDE))));
  }

  /** An empty picture, for codes of a codec. */
  begin(codebooks, size) {
    this.#rows = codebooks;
    this.#colours = palette(size);
    [this.#memory.width, this.#memory.height] = [MOST, codebooks];
    this.#count = 0;
    this.#dirty = true;
  }

  /** Frames, as a stream gives them. */
  push({ count, codebooks, codes }) {
    const context = this.#memory.getContext("2d");
    for (let frame = 0; frame < count; frame += 1) {
      const column = new ImageData(1, this.#rows); // what has no code stays clear
      const pixels = new Uint32Array(column.data.buffer);
      for (let k = 0; k < codebooks; k += 1) pixels[k] = this.#colours[codes[frame * codebooks + k]];
      context.putImageData(column, this.#count % MOST, 0);
      this.#count += 1;
    }
    this.#dirty = true;
  }

  /** Something was lost here. */
  mark() {
    const context = this.#memory.getContext("2d");
    context.fillStyle = LOST;
    context.clearRect(this.#count % MOST, 0, 1, this.#rows);
    context.fillRect(this.#count % MOST, 0, 1, this.#rows);
    this.#count += 1;
    this.#dirty = true;
  }

  /** Call it once a frame of the display. */
  draw() {
    if (!this.#dirty) return;
    this.#dirty = false;
    const { width, height } = this.#canvas;
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    const columns = this.columns;
    const wide = width / columns;
    const first = Math.max(0, this.#count - columns);
    for (let frame = first; frame < this.#count;) {
      const at = this.still.matches ? frame % columns : columns - (this.#count - frame);
      // as many at once as lie side by side, here and there
      const run = Math.min(this.#count - frame, MOST - (frame % MOST), columns - at);
      context.drawImage(this.#memory, frame % MOST, 0, run, this.#rows, at * wide, 0, run * wide, height);
      frame += run;
    }
    if (this.still.matches) context.clearRect((this.#count % columns) * wide, 0, 4 * wide, height);
    const gap = (BETWEEN * width) / Math.max(1, this.#canvas.clientWidth);
    const high = height / this.#rows;
    for (let row = 1; row < this.#rows; row += 1) context.clearRect(0, row * high - gap / 2, width, gap);
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(clientHeight * devicePixelRatio);
    this.#dirty = true;
  }
}
