// What two explanations of one example have in common: one scale, and the angle between their maps.
import {html, useMemo} from "./vendor/preact.js";
import {isNumber, short} from "./format.js";
import {largest} from "./colour.js";

function flatValues(map) {
  if (!map || !Array.isArray(map.values)) return null;
  return map.kind === "series" ? map.values.flat() : map.values;
}

function limitOf(map) {
  const values = flatValues(map);
  if (!values) return 0;
  return isNumber(map.limit) ? map.limit : largest(values);
}

// The limit of each map: its own, or the larger one of the two where both have the same kind.
export function limitsOf(result, other, shared) {
  return result.maps.map((map, place) => {
    const beside = shared && other && other.maps[place];
    return beside && beside.kind === map.kind ? Math.max(limitOf(map), limitOf(beside)) : limitOf(map);
  });
}

// Cosine similarity of all values of two results, or null where their values do not correspond.
export function cosine(left, right) {
  if (left.maps.length !== right.maps.length) return null;
  let [product, leftSize, rightSize, count] = [0, 0, 0, 0];
  for (let place = 0; place < left.maps.length; place += 1) {
    const [a, b] = [left.maps[place], right.maps[place]];
    if (a.kind === "empty" && b.kind === "empty") continue;
    const [one, two] = [flatValues(a), flatValues(b)];
    if (!one || !two || a.kind !== b.kind || one.length !== two.length || a.width !== b.width) return null;
    for (let at = 0; at < one.length; at += 1) {
      if (!isNumber(one[at]) || !isNumber(two[at])) return null;
      product += one[at] * two[at];
      leftSize += one[at] ** 2;
      rightSize += two[at] ** 2;
      count += 1;
    }
  }
  const size = Math.sqrt(leftSize) * Math.sqrt(rightSize);
  return count && size > 0 ? Math.min(1, Math.max(-1, product / size)) : null;
}

const READINGS = [
  [0.9, "nearly the same pattern"],
  [0.6, "similar patterns"],
  [0.25, "weakly similar patterns"],
  [-0.25, "unrelated patterns"],
  [-0.6, "partly opposite patterns"],
  [-1.01, "opposite patterns"],
];

export function CompareBar({left, right, shared, onShared, under, onUnder, pictures}) {
  const similarity = useMemo(() => (left && right ? cosine(left, right) : null), [left, right]);
  const reading = similarity === null ? null : READINGS.find(([least]) => similarity >= least)[1];
  const nothing = left && right ? "The values of the two maps do not correspond, or one map is zero." : "Waiting for both explanations.";
  return html`<div class="compare-bar" role="group" aria-label="Comparison">
    <p class="similarity" data-testid="similarity">${similarity === null
      ? html`<span class="soft">${nothing}</span>`
      : html`Cosine similarity <strong title=${String(similarity)}>${short(similarity, 2)}</strong> <span
        class="soft">${reading}</span>`}</p>
    <div class="segments" role="group" aria-label="Colour scale">
      <button type="button" aria-pressed=${String(!shared)} onClick=${() => onShared(false)}>Own scales</button>
      <button type="button" aria-pressed=${String(shared)} onClick=${() => onShared(true)}>One scale</button>
    </div>
    ${pictures && html`<button type="button" class="toggle" aria-pressed=${String(under)}
      onClick=${() => onUnder(!under)}>Image under the maps</button>`}
  </div>`;
}
