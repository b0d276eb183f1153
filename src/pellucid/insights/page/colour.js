// The colours of signed values: the sign chooses the hue, the size the opacity, as in report pages.
import {isNumber} from "./format.js";

export const FOR = [224, 106, 6];
export const AGAINST = [9, 118, 222];
const UNKNOWN = [141, 147, 160, 140];

export function opacity(value, limit) {
  return limit > 0 ? Math.min(Math.abs(value) / limit, 1) ** 0.85 : 0; // slightly lifted: weak values stay visible
}

export function tokenColour(value, limit) {
  if (!isNumber(value) || !(limit > 0)) return "transparent";
  const [red, green, blue] = value >= 0 ? FOR : AGAINST;
  const alpha = 0.85 * Math.min(Math.abs(value) / limit, 1);
  return `rgba(${red}, ${green}, ${blue}, ${alpha.toFixed(3)})`;
}

// Fill RGBA bytes from values; what is no number becomes grey.
export function paint(bytes, values, limit) {
  for (let place = 0, at = 0; place < values.length; place += 1, at += 4) {
    const value = values[place];
    if (!isNumber(value)) {
      bytes.set(UNKNOWN, at);
      continue;
    }
    const colour = value >= 0 ? FOR : AGAINST;
    bytes[at] = colour[0];
    bytes[at + 1] = colour[1];
    bytes[at + 2] = colour[2];
    bytes[at + 3] = Math.round(255 * opacity(value, limit));
  }
}

export function largest(values) {
  let most = 0;
  for (const value of values) if (isNumber(value) && Math.abs(value) > most) most = Math.abs(value);
  return most;
}

export function hasNegative(values) {
  return values.some((value) => isNumber(value) && value < 0);
}

// What a map without any colour says.
export function blankNote(values) {
  return values.some(isNumber) ? "every value is zero: nothing here moves the explained output" : "no value is a number: there is nothing to show";
}

export function unknowns(values) {
  let count = 0;
  for (const value of values) if (!isNumber(value)) count += 1;
  return count;
}
