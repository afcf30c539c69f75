/**
 * The picture of the codes: a row for each codebook, the coarsest on top; a column for each frame, the newest on the
 * right. If the user prefers reduced motion, the picture stands still and a line sweeps over it.
 *
 * Knows: a canvas. Does not know: streams, the page.
 */

/** Colours from code 0 to the last. Each has enough contrast to the panel behind it. */
const COLOURS = ["#1d2b53", "#20607a", "#3f9180", "#b9a74c", "#f0a35e", "#fbeed3"];
const GAP_COLOUR = "#ff5d4a";
/** Columns that are kept. */
const MAX_COLUMNS = 2048;
/** Pixels: the width of a column, on a wide and a narrow screen, and the space between rows. */
const COLUMN_WIDTH = 3;
const NARROW_COLUMN_WIDTH = 2;
const ROW_SPACE = 2;

/** `size` colours, as ABGR words of 32 bits. */
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
  #memory = document.createElement("canvas"); // one pixel a code; columns are reused in turn
  #colours = palette(1024);
  #rows = 9;
  #count = 0; // frames so far
  #dirty = false;
  #onChange;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} onChange called when there is something to draw
   */
  constructor(canvas, onChange) {
    [this.#canvas, this.#onChange] = [canvas, onChange];
    this.reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.begin(9, 1024);
  }

  /** How many frames fit. */
  get columns() {
    const { clientWidth } = this.#canvas;
    const columnWidth = clientWidth < 480 ? NARROW_COLUMN_WIDTH : COLUMN_WIDTH;
    return Math.max(1, Math.min(MAX_COLUMNS, Math.floor(clientWidth / columnWidth)));
  }

  /** Start an empty picture. */
  begin(codebooks, size) {
    this.#rows = codebooks;
    this.#colours = palette(size);
    [this.#memory.width, this.#memory.height] = [MAX_COLUMNS, codebooks];
    this.#count = 0;
    this.#changed();
  }

  /** Append frames, as a stream gives them. */
  push({ count, codebooks, codes }) {
    const context = this.#memory.getContext("2d");
    for (let frame = 0; frame < count; frame += 1) {
      const column = new ImageData(1, this.#rows); // rows without a code stay transparent
      const pixels = new Uint32Array(column.data.buffer);
      for (let k = 0; k < codebooks; k += 1) pixels[k] = this.#colours[codes[frame * codebooks + k]];
      context.putImageData(column, this.#count % MAX_COLUMNS, 0);
      this.#count += 1;
    }
    this.#changed();
  }

  /** Mark a gap. */
  markGap() {
    const context = this.#memory.getContext("2d");
    context.fillStyle = GAP_COLOUR;
    context.clearRect(this.#count % MAX_COLUMNS, 0, 1, this.#rows);
    context.fillRect(this.#count % MAX_COLUMNS, 0, 1, this.#rows);
    this.#count += 1;
    this.#changed();
  }

  /** Draw what has changed. Call it in an animation frame. */
  draw() {
    if (!this.#dirty) return;
    this.#dirty = false;
    const { width, height } = this.#canvas;
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    const columns = this.columns;
    const columnWidth = width / columns;
    const first = Math.max(0, this.#count - columns);
    for (let frame = first; frame < this.#count;) {
      const at = this.reducedMotion.matches ? frame % columns : columns - (this.#count - frame);
      // as many as are adjacent in both canvases
      const run = Math.min(this.#count - frame, MAX_COLUMNS - (frame % MAX_COLUMNS), columns - at);
      const [left, runWidth] = [at * columnWidth, run * columnWidth];
      context.drawImage(this.#memory, frame % MAX_COLUMNS, 0, run, this.#rows, left, 0, runWidth, height);
      frame += run;
    }
    const sweep = (this.#count % columns) * columnWidth;
    if (this.reducedMotion.matches) context.clearRect(sweep, 0, 4 * columnWidth, height);
    const space = (ROW_SPACE * width) / Math.max(1, this.#canvas.clientWidth);
    const rowHeight = height / this.#rows;
    for (let row = 1; row < this.#rows; row += 1) context.clearRect(0, row * rowHeight - space / 2, width, space);
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(clientHeight * devicePixelRatio);
    this.#changed();
  }

  #changed() {
    this.#dirty = true;
    this.#onChange();
  }
}
