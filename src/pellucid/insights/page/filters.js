// Which examples the list shows, and in which order.
import {html, useMemo, useState} from "./vendor/preact.js";
import {grouped, isNumber, words} from "./format.js";
import {flagKey} from "./flags.js";
import {Picker} from "./picker.js";

export function firstFilter(about) {
  const {filter} = about.defaults;
  const indices = ((filter && filter.classes) || []).map((one) => (isNumber(one) ? one : about.classes.indexOf(one)));
  return {
    prediction: (filter && filter.prediction) || "all", labels: indices.filter((index) => index >= 0), predicted: [],
    low: 0, high: 100, flagged: false, name: "", sort: "order",
  };
}

const SORTS = {
  order: ["In order", null],
  unsure: ["Least confident first", (a, b) => (a.confidence ?? 2) - (b.confidence ?? 2)],
  sure: ["Most confident first", (a, b) => (b.confidence ?? -1) - (a.confidence ?? -1)],
  name: ["By name", (a, b) => a.name.localeCompare(b.name, undefined, {numeric: true})],
};

export function verdictOf(row) {
  if (!row || !isNumber(row.label) || !isNumber(row.predicted)) return null;
  return row.label === row.predicted ? "right" : "wrong";
}

export function filtered(rows, filter, flags) {
  const labels = new Set(filter.labels);
  const predicted = new Set(filter.predicted);
  const wanted = {all: null, correct: "right", incorrect: "wrong"}[filter.prediction];
  const name = filter.name.trim().toLowerCase();
  const ranged = filter.low > 0 || filter.high < 100;
  const passes = (row) => {
    if (wanted && verdictOf(row) !== wanted) return false;
    if (labels.size && !labels.has(row.label)) return false;
    if (predicted.size && !predicted.has(row.predicted)) return false;
    if (ranged && !(isNumber(row.confidence) && 100 * row.confidence >= filter.low && 100 * row.confidence <= filter.high)) return false;
    if (filter.flagged && !(flags[flagKey(row)] || {}).flagged) return false;
    return !name || row.name.toLowerCase().includes(name);
  };
  const found = [];
  for (const row of rows) if (row && passes(row)) found.push(row);
  const order = SORTS[filter.sort][1];
  return order ? found.sort(order) : found;
}

export function activeFilters(filter) {
  const {labels, predicted, low, high, flagged, name, prediction} = filter;
  const on = [labels.length, predicted.length, low > 0 || high < 100, flagged, name.trim(), prediction !== "all"];
  return on.filter(Boolean).length;
}

export function Filters({about, rows, version, filter, onChange, shown, predictions, cleared}) {
  const [open, setOpen] = useState(false);
  const counts = useMemo(() => countsOf(rows), [rows, version]);
  const set = (change) => onChange({...filter, ...change});
  const active = activeFilters(filter);
  const folded = active - (filter.prediction !== "all") - Boolean(filter.name.trim());
  const total = predictions.total ?? predictions.count;
  return html`<div class="filters" role="search" aria-label="Filter examples">
    <input type="search" class="find" aria-label="Find by name" placeholder="Find by name" value=${filter.name}
      onInput=${(event) => set({name: event.target.value})} />
    ${counts.right + counts.wrong > 0 && html`<${Verdicts} counts=${counts} value=${filter.prediction}
      onChange=${(prediction) => set({prediction})} />`}
    <div class="line">
      <button type="button" class="toggle" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>
        Filters${folded > 0 && html` <b class="count">${folded}<span class="sr"> active</span></b>`}
      </button>
      <label class="sort"><span class="sr">Sort</span>
        <select value=${filter.sort} onChange=${(event) => set({sort: event.target.value})}>
          ${Object.entries(SORTS).map(([key, [title]]) => html`<option value=${key}
            selected=${filter.sort === key}>${title}</option>`)}
        </select>
      </label>
    </div>
    ${open && html`<${MoreFilters} about=${about} counts=${counts} filter=${filter} set=${set} />`}
    <div class="line tally">
      <span data-testid="count" aria-live=${predictions.complete ? "polite" : "off"}>${active ? html`<strong>${grouped(shown)}</strong> of ${grouped(total)}` : html`<strong>${grouped(total)}</strong> ${total === 1 ? "example" : "examples"}`}</span>
      ${!predictions.complete && html`<span class="soft" data-testid="predicting">predicting${isNumber(predictions.total) ? ` ${grouped(predictions.count)} of ${grouped(predictions.total)}` : "…"}</span>`}
      ${about.models.length > 1 && html`<span class="soft cut"
        title=${about.models[predictions.model].name}>predicted by ${about.models[predictions.model].name}</span>`}
      ${active > 0 && html`<button type="button" class="plain" onClick=${() => onChange(cleared)}>Clear filters</button>`}
    </div>
  </div>`;
}

function Verdicts({counts, value, onChange}) {
  const kinds = [["all", "All", counts.all], ["incorrect", "Wrong", counts.wrong], ["correct", "Right", counts.right]];
  return html`<div class="segments" role="group" aria-label="Show examples">
    ${kinds.map(([kind, title, count]) => html`<button type="button" key=${kind} aria-pressed=${String(value === kind)}
      onClick=${() => onChange(kind)}>${title} <b>${grouped(count)}</b></button>`)}
  </div>`;
}

function MoreFilters({about, counts, filter, set}) {
  const options = (hints) => about.classes.map((name, value) => ({value, name, hint: grouped(hints.get(value) || 0)}));
  const bound = (key) => (event) => {
    const value = event.target.value === "" ? (key === "low" ? 0 : 100) : Number(event.target.value);
    if (Number.isFinite(value)) set({[key]: value});
  };
  return html`<div class="more-filters">
    ${about.classes.length > 0 && counts.labelled > 0 && html`<${Picker} label="True class" multiple
      options=${options(counts.labels)} chosen=${filter.labels} onChange=${(labels) => set({labels})} />`}
    ${about.classes.length > 0 && html`<${Picker} label="Predicted class" multiple options=${options(counts.predicted)}
      chosen=${filter.predicted} onChange=${(predicted) => set({predicted})} />`}
    ${counts.confident > 0 && html`<div class="range" role="group" aria-label="Confidence in percent">
      <span class="label">Confidence</span>
      <input type="number" min="0" max="100" step="any" aria-label="Confidence from, percent" value=${filter.low}
        onChange=${bound("low")} />
      <span class="soft">to</span>
      <input type="number" min="0" max="100" step="any" aria-label="Confidence to, percent" value=${filter.high}
        onChange=${bound("high")} /><span class="soft">%</span>
    </div>`}
    <label class="tickbox"><input type="checkbox" checked=${filter.flagged}
      onChange=${(event) => set({flagged: event.target.checked})} /> Flagged only</label>
  </div>`;
}

function countsOf(rows) {
  const counts = {all: 0, right: 0, wrong: 0, labelled: 0, confident: 0, labels: new Map(), predicted: new Map()};
  const add = (map, key) => map.set(key, (map.get(key) || 0) + 1);
  for (const row of rows) {
    if (!row) continue;
    counts.all += 1;
    const verdict = verdictOf(row);
    if (verdict) counts[verdict] += 1;
    if (isNumber(row.label)) counts.labelled += 1;
    if (isNumber(row.confidence)) counts.confident += 1;
    add(counts.labels, row.label);
    add(counts.predicted, row.predicted);
  }
  return counts;
}

export function Badge({row}) {
  const verdict = verdictOf(row);
  return verdict && html`<span class=${words(["badge", verdict])}>${verdict}</span>`;
}
