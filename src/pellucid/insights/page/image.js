// Pictures: the input, which can be painted over, and the heat map above it in grey.
import {html, useEffect, useLayoutEffect, useMemo, useRef} from "./vendor/preact.js";
import {isNumber, clamp, full, signed, words} from "./format.js";
import {blankNote, paint} from "./colour.js";
import {useSignal} from "./signal.js";
import {ScaleNote, sharpen} from "./bits.js";

// How wide a picture is drawn: small ones are enlarged, none is wider than its place.
function frameStyle(height, width) {
  return {aspectRatio: `${width} / ${height}`, maxWidth: `${Math.round(Math.min(400, Math.max(120, (400 * width) / height)))}px`};
}

export function ImageMap({feature, name, view, map, limit, under, cursor}) {
  const canvas = useRef(null);
  const {height, width} = map;
  useLayoutEffect(() => {
    const pen = canvas.current.getContext("2d");
    const picture = pen.createImageData(width, height);
    paint(picture.data, map.values, limit);
    pen.putImageData(picture, 0, 0);
  }, [map, limit]);
  const strongest = useMemo(() => strongestCell(map.values), [map]);
  const point = (event) => {
    const at = cellUnder(event, height, width);
    cursor.set(at && {feature, ...at, height, width});
  };
  const onKeyDown = (event) => moveCursor(event, cursor, feature, height, width, strongest);
  return html`<div>
    <div class=${words(["map", Math.max(height, width) < 128 && "pixels", !under && "no-under"])}
      style=${frameStyle(height, width)} tabindex="0" role="img"
      aria-label=${`${name}: ${describe(map, strongest)}. Arrow keys read single values.`}
      onPointerMove=${point} onPointerLeave=${() => cursor.set(null)} onKeyDown=${onKeyDown} onBlur=${() => cursor.set(null)}>
      ${view && html`<img class="under" src=${view.uri} alt="" onLoad=${sharpen} />`}
      <canvas ref=${canvas} width=${width} height=${height} data-testid="heat"></canvas>
      <${CellMark} feature=${feature} cursor=${cursor} height=${height} width=${width} />
    </div>
    <${ImageReadOut} feature=${feature} cursor=${cursor} map=${map} limit=${limit} />
  </div>`;
}

function strongestCell(values) {
  let best = 0;
  let at = 0;
  for (let place = 0; place < values.length; place += 1) {
    const size = Math.abs(values[place]);
    if (isNumber(values[place]) && size > best) {
      best = size;
      at = place;
    }
  }
  return at;
}

function describe(map, strongest) {
  const value = map.values[strongest];
  if (!value) return `heat map, ${blankNote(map.values)}`;
  const place = `row ${Math.floor(strongest / map.width) + 1}, column ${(strongest % map.width) + 1}`;
  return `heat map of ${map.height} by ${map.width} values, strongest at ${place}, where it speaks ${value > 0 ? "for" : "against"} the explained output`;
}

export function cellUnder(event, height, width) {
  const box = event.currentTarget.getBoundingClientRect();
  const row = Math.floor(((event.clientY - box.top) / box.height) * height);
  const column = Math.floor(((event.clientX - box.left) / box.width) * width);
  return row >= 0 && row < height && column >= 0 && column < width ? {row, column} : null;
}

const ARROWS = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};

export function moveCursor(event, cursor, feature, height, width, start) {
  const step = ARROWS[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey) return false;
  const old = cursor.value;
  const stride = event.shiftKey ? Math.max(2, Math.round(Math.max(height, width) / 16)) : 1;
  const same = old && old.feature === feature && old.height === height && old.width === width;
  const row = same ? clamp(old.row + stride * step[0], 0, height - 1) : Math.floor(start / width);
  const column = same ? clamp(old.column + stride * step[1], 0, width - 1) : start % width;
  cursor.set({feature, row, column, height, width});
  event.preventDefault();
  event.stopPropagation();
  return true;
}

export function CellMark({feature, cursor, height, width}) {
  const at = useSignal(cursor);
  if (!at || at.feature !== feature || at.height !== height || at.width !== width) return null;
  const style = {left: `${(100 * at.column) / width}%`, top: `${(100 * at.row) / height}%`, width: `${100 / width}%`, height: `${100 / height}%`};
  return html`<span class="cell" style=${style} aria-hidden="true"></span>`;
}

function ImageReadOut({feature, cursor, map, limit}) {
  const at = useSignal(cursor);
  const here = at && at.feature === feature && at.height === map.height && at.width === map.width;
  if (!here) return html`<${ScaleNote} limit=${limit} values=${map.values} />`;
  const value = map.values[at.row * map.width + at.column];
  return html`<p class="scale" aria-live="polite" data-testid="readout"
    title=${full(value)}>row ${at.row + 1}, column ${at.column + 1}: <strong>${isNumber(value) ? signed(value) : "not a number"}</strong></p>`;
}

// The input itself; in edit mode a surface to paint on.
export function ImageInput({feature, view, cells, editing, brush, onPaint, cursor}) {
  const [channels, height, width] = view.shape;
  const surface = useRef(null);
  const last = useRef(null);
  useLayoutEffect(() => drawCells(surface.current, view, cells), [cells, view.uri]);
  useEffect(() => () => (last.current = null), [editing]);
  const stroke = (from, to, grow) => onPaint({shape: [channels, height, width], from, to, grow});
  const handlers = editing && view.editable ? paintHandlers({height, width, last, stroke, cursor, feature}) : {};
  return html`<div class=${words(["map", "picture-input", Math.max(height, width) < 128 && "pixels", editing && view.editable && "canvas-on"])} style=${frameStyle(height, width)}
    tabindex=${editing ? "0" : undefined} role=${editing ? "application" : "img"}
    aria-roledescription=${editing ? "drawing area" : undefined}
    aria-label=${editing ? `Draw over ${view.name}: arrow keys move, space paints` : `Input ${view.name}, ${width} by ${height} pixels`} ...${handlers}>
    <img class="shown" src=${view.uri} alt="" draggable=${false} onLoad=${sharpen} />
    <canvas ref=${surface} width=${width} height=${height}></canvas>
    <${CellMark} feature=${feature} cursor=${cursor} height=${height} width=${width} />
  </div>`;
}

function paintHandlers({height, width, last, stroke, cursor, feature}) {
  const at = (event) => cellUnder(event, height, width);
  return {
    onPointerDown: (event) => {
      const cell = at(event);
      if (!cell || event.button !== 0) return;
      event.preventDefault();
      event.currentTarget.focus({preventScroll: true});
      event.currentTarget.setPointerCapture(event.pointerId);
      last.current = cell;
      stroke(cell, cell, false);
    },
    onPointerMove: (event) => {
      const cell = at(event);
      cursor.set(cell && {feature, ...cell, height, width});
      if (!last.current || !cell || (cell.row === last.current.row && cell.column === last.current.column)) return;
      stroke(last.current, cell, true);
      last.current = cell;
    },
    onPointerUp: () => (last.current = null),
    onPointerCancel: () => (last.current = null),
    onPointerLeave: () => last.current || cursor.set(null),
    onBlur: () => cursor.set(null),
    onKeyDown: (event) => {
      const painting = event.key === " " || event.key === "Enter";
      if (!painting && !moveCursor(event, cursor, feature, height, width, 0)) return;
      if (painting && cursor.value) stroke(cursor.value, cursor.value, false);
      event.preventDefault();
      event.stopPropagation();
    },
  };
}

// Changed pixels, drawn at once in the colours that the page gives them, before the model has answered.
function drawCells(canvas, view, cells) {
  const [channels, height, width] = view.shape;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  if (!cells.size) return;
  const picture = pen.createImageData(width, height);
  const size = height * width;
  const low = view.low ?? 0;
  const span = (view.high ?? 1) - low || 1;
  for (const [cell, value] of cells) {
    const channel = Math.floor(cell / size);
    const byte = clamp(Math.round((255 * (value - low)) / span), 0, 255);
    const at = 4 * (cell % size);
    if (channels === 3) picture.data[at + channel] = byte;
    else picture.data.fill(byte, at, at + 3);
    picture.data[at + 3] = 255;
  }
  pen.putImageData(picture, 0, 0);
}
