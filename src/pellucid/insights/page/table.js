// Tables: one row per column of the data, sorted by influence, with sliders in edit mode.
import {html, useMemo, useRef, useState} from "./vendor/preact.js";
import {blankNote} from "./colour.js";
import {clamp, full, grouped, held, isNumber, short, signed, words} from "./format.js";

const TOP = 12;
const SEARCHABLE = 30;

// The places in order of size; in edit mode the order stays that of its beginning, so that no slider jumps away.
function useOrder(values, count, editing, sorting) {
  const frozen = useRef(null);
  return useMemo(() => {
    const places = Array.from({length: count}, (_, place) => place);
    if (editing && frozen.current && frozen.current.length === count) return frozen.current;
    const size = (place) => (values && isNumber(values[place]) ? Math.abs(values[place]) : -1);
    const order = sorting === "size" && values ? places.sort((a, b) => size(b) - size(a)) : places;
    if (values || !frozen.current) frozen.current = order;
    return order;
  }, [values, count, editing, sorting]);
}

export function TableFeature({waiting, view, map, limit, editing, changes, onCell}) {
  const [everything, setEverything] = useState(false);
  const [sorting, setSorting] = useState("size");
  const [search, setSearch] = useState("");
  const count = view.values.length;
  const values = map ? map.values : null;
  const order = useOrder(values, count, editing, sorting);
  const wanted = search.trim().toLowerCase();
  const found = wanted ? order.filter((place) => nameOf(view, place).toLowerCase().includes(wanted)) : order;
  const shown = everything || wanted ? found : found.slice(0, TOP);
  const rest = everything || wanted ? [] : found.slice(TOP);
  const restSum = values ? rest.reduce((sum, place) => sum + (isNumber(values[place]) ? values[place] : 0), 0) : null;
  const scale = limit || 0; // also of the other panel, where both share it; the sum of the rest has a number only
  return html`<div class="table-feature">
    ${(count > SEARCHABLE || values || waiting) && html`<div class="line table-tools">
      ${count > SEARCHABLE && html`<input type="search" aria-label="Find a column" placeholder="Find a column" value=${search}
        onInput=${(event) => setSearch(event.target.value)} />`}
      ${values && count > 2 && html`<button type="button" class="plain"
        onClick=${() => setSorting(sorting === "size" ? "order" : "size")}>${sorting === "size" ? "In the order of the columns" : "By influence"}</button>`}
    </div>`}
    <div class=${words(["scroll", shown.length > 40 && "tall"])} tabindex=${shown.length > 40 ? "0" : undefined}>
    <table class="features">
      <thead class="sr"><tr><th scope="col">column</th><th scope="col">value</th>${values && html`<th
        scope="col">influence</th><th scope="col">attribution</th>`}</tr></thead>
      <tbody>
        ${shown.map((place) => html`<${Column} key=${place} view=${view} place=${place}
          value=${values ? values[place] : undefined} mapped=${Boolean(values) || waiting} scale=${scale}
          editing=${editing && view.editable} change=${changes.get(place)} onCell=${onCell} />`)}
        ${rest.length > 0 && values && html`<tr class="rest"><th
          scope="row">${grouped(rest.length)} more together</th><td></td><td></td>
          <td class="number" title=${full(restSum)}>${signed(restSum)}</td></tr>`}
      </tbody>
    </table></div>
    ${!found.length && html`<p class="empty">No column of this name.</p>`}
    ${count > TOP && !wanted && html`<button type="button" class="plain" aria-expanded=${String(everything)}
      onClick=${() => setEverything(!everything)}>${everything ? `Show the top ${TOP}` : `Show all ${grouped(count)}`}</button>`}
    ${values && !(limit > 0) && html`<p class="scale">${blankNote(values)}</p>`}
  </div>`;
}

function nameOf(view, place) {
  return view.names[place] ?? `column ${place + 1}`;
}

function Column({view, place, value, mapped, scale, editing, change, onCell}) {
  const name = nameOf(view, place);
  const now = change ?? view.values[place];
  return html`<tr class=${words([change !== undefined && "changed"])}>
    <th scope="row" title=${name}><span class="clip">${name}</span></th>
    <td class="held" title=${full(now)}>${editing ? html`<${Slider} view=${view} place=${place} name=${name} now=${now}
      onCell=${onCell} />` : held(now)}</td>
    ${mapped && html`<${Signed} value=${value} scale=${scale} />`}
  </tr>`;
}

export function Signed({value, scale}) {
  const share = isNumber(value) && scale > 0 ? Math.min(Math.abs(value) / scale, 1) : 0;
  return html`<td class="signed"><span class="axis"><span class=${value >= 0 ? "for" : "against"}
    style=${{width: `${50 * share}%`, visibility: share ? "visible" : "hidden"}}></span></span></td>
    <td class="number" title=${value === undefined ? undefined : full(value)}>${value === undefined ? "" : signed(value)}</td>`;
}

// The range is that of the data; a typed number may lie outside.
function Slider({view, place, name, now, onCell}) {
  const from = useRef(null); // one drag, or one run of key presses, is one change
  const [low, high] = [view.low[place], view.high[place]];
  const whole = Boolean(view.whole && view.whole[place]);
  const ranged = isNumber(low) && isNumber(high) && high > low;
  const step = whole ? 1 : "any";
  const put = (text, grow) => {
    const value = Number(text);
    if (text === "" || !Number.isFinite(value)) return;
    onCell(place, whole ? Math.round(value) : value, grow);
  };
  return html`<span class="slider">
    ${ranged && html`<input type="range" min=${low} max=${high} step=${whole ? 1 : (high - low) / 200}
      value=${clamp(now ?? low, low, high)} aria-label=${`${name}, from ${short(low)} to ${short(high)}`}
      onPointerDown=${() => (from.current = null)} onInput=${(event) => (put(event.target.value, from.current === place), (from.current = place))} onBlur=${() => (from.current = null)} />`}
    <input type="number" step=${step} value=${isNumber(now) ? Number(now.toPrecision(6)) : ""} aria-label=${name}
      onChange=${(event) => put(event.target.value, false)} />
  </span>`;
}
