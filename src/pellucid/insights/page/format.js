// Numbers and words as people read them. Shown numbers are rounded; titles hold them in full.
const MINUS = "\u2212";

export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

// Three significant digits, as Python's "%.3g" writes them, with a real minus sign.
export function short(value, digits = 3) {
  if (!isNumber(value)) return "–";
  if (value === 0) return "0";
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  let text;
  if (exponent < -4 || exponent >= digits + 3) text = `${trimmed(mantissa)}e${exponent}`;
  else text = trimmed(value.toFixed(Math.max(0, digits - 1 - exponent)));
  return text.replaceAll("-", MINUS);
}

function trimmed(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

export function signed(value, digits = 3) {
  return isNumber(value) && value >= 0 ? `+${short(value, digits)}` : short(value, digits);
}

export function full(value) {
  return isNumber(value) ? String(value).replaceAll("-", MINUS) : "not a number";
}

// A value as it stands in a table: whole numbers whole, others to four significant digits.
export function held(value) {
  if (!isNumber(value)) return "–";
  return Number.isInteger(value) && Math.abs(value) < 1e7 ? String(value).replace("-", MINUS) : short(value, 4);
}

// "100.0 %" would hide that something is left, so shares near the ends keep their side.
export function percent(share) {
  if (!isNumber(share)) return "–";
  if (share > 0.9995 && share < 1) return ">\u200999.9\u00a0%";
  if (share > 0 && share < 0.0005) return "<\u20090.1\u00a0%";
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

export function grouped(count) {
  return isNumber(count) ? String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ",") : "–";
}

export function plural(count, one, many = `${one}s`) {
  return `${grouped(count)} ${count === 1 ? one : many}`;
}

export function seconds(value) {
  if (!isNumber(value)) return "–";
  if (value < 0.001) return "under 1 ms";
  if (value < 1) return `${short(value * 1000, 2)} ms`;
  return `${short(value, 3)} s`;
}

// JSON with sorted keys: the same question always has the same text.
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map((one) => canonical(one === undefined ? null : one)).join(",")}]`;
  if (value && typeof value === "object") {
    const keys = Object.keys(value).filter((key) => value[key] !== undefined).sort();
    return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

export function words(parts) {
  return parts.filter((part) => part !== null && part !== undefined && part !== false && part !== "").join(" ");
}

// An identifier for aria attributes; several pages may live in one notebook.
let lastId = 0;
export function freshId(prefix) {
  lastId += 1;
  return `pellucid-${prefix}-${lastId}`;
}
