// The tools of edit mode: brush, value, undo, redo, reset.
import {html} from "./vendor/preact.js";
import {clamp, isNumber, plural, short} from "./format.js";

function rangeOf(view) {
  const low = isNumber(view.low) ? view.low : 0;
  const high = isNumber(view.high) && view.high > low ? view.high : low + 1;
  return [low, high];
}

// More digits than a screen shows would only make long questions longer.
function rounded(value) {
  return Number(value.toPrecision(6));
}

// What one dab of the brush sets, one value per channel.
export function paintValues(view, paintbox) {
  const channels = view.shape[0];
  const [low, high] = rangeOf(view);
  if (channels === 3) return [1, 3, 5].map((at) => rounded(low + (parseInt(paintbox.colour.slice(at, at + 2), 16) / 255) * (high - low)));
  return new Array(channels).fill(rounded(clamp(paintbox.value ?? high, low, high)));
}

const HINTS = {text: "Choose a word to change or remove it.", table: "Move a slider or type a value.", series: "Draw over a line."};

export function EditBar({views, paintbox, onPaintbox, history, onUndo, onRedo, onReset}) {
  const pictures = views.filter((view) => view.kind === "image" && view.editable);
  const first = pictures[0];
  const count = history.strokes.length;
  const kinds = new Set(views.filter((view) => view.editable).map((view) => view.kind));
  const hints = Object.keys(HINTS).filter((kind) => kinds.has(kind)).map((kind) => HINTS[kind]);
  return html`<div class="edit-bar" role="toolbar" aria-label="Editing">
    ${first && html`<label class="field inline"><span class="label">Brush</span>
      <input type="range" min="1" max=${brushLimit(pictures)} value=${paintbox.size} aria-label="Brush size in pixels"
        onInput=${(event) => onPaintbox({...paintbox, size: Number(event.target.value)})} /><output>${paintbox.size}</output></label>`}
    ${first && first.shape[0] === 3 && html`<label class="field inline"><span class="label">Colour</span><input type="color"
      value=${paintbox.colour} onInput=${(event) => onPaintbox({...paintbox, colour: event.target.value})} /></label>`}
    ${first && first.shape[0] !== 3 && html`<${ValueSlider} view=${first} paintbox=${paintbox} onPaintbox=${onPaintbox} />`}
    ${hints.map((hint) => html`<span class="soft hint" key=${hint}>${hint}</span>`)}
    <span class="spacer soft">${count ? plural(count, "change") : "No changes yet"}</span>
    <button type="button" class="toggle" disabled=${!count} onClick=${onUndo}>Undo</button>
    <button type="button" class="toggle" disabled=${!history.undone.length} onClick=${onRedo}>Redo</button>
    <button type="button" class="toggle" disabled=${!count} onClick=${onReset}>Reset</button>
  </div>`;
}

function brushLimit(pictures) {
  return Math.min(64, Math.max(3, ...pictures.map((view) => Math.round(Math.max(view.shape[1], view.shape[2]) / 4))));
}

function ValueSlider({view, paintbox, onPaintbox}) {
  const [low, high] = rangeOf(view);
  const value = clamp(paintbox.value ?? high, low, high);
  const shade = Math.round((255 * (value - low)) / (high - low));
  return html`<label class="field inline"><span class="label">Value</span>
    <input type="range" min=${low} max=${high} step=${(high - low) / 100} value=${value}
      aria-label=${`Brush value, from ${short(low)} to ${short(high)}`}
      onInput=${(event) => onPaintbox({...paintbox, value: Number(event.target.value)})} />
    <span class="ink" style=${{background: `rgb(${shade}, ${shade}, ${shade})`}}
      aria-hidden="true"></span><output>${short(value)}</output></label>`;
}
