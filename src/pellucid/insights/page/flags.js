// Flags and notes of examples, kept by the browser per title, and files made in the page.
import {isNumber} from "./format.js";

function storageKey(title) {
  return `pellucid-insights:${title}`;
}

// Storage may be forbidden (private windows, some notebooks): then flags live as long as the page.
export function loadFlags(title) {
  try {
    const stored = JSON.parse(localStorage.getItem(storageKey(title)) || "{}");
    return stored && typeof stored === "object" && !Array.isArray(stored) ? stored : {};
  } catch {
    return {};
  }
}

export function saveFlags(title, flags) {
  try {
    localStorage.setItem(storageKey(title), JSON.stringify(flags));
    return true;
  } catch {
    return false;
  }
}

// Flags belong to an example's number and name together: other data under the same title share neither.
export function flagKey(row) {
  return `${row.index} ${row.name}`;
}

export function withFlag(flags, row, change) {
  const key = flagKey(row);
  const next = {flagged: false, note: "", ...flags[key], ...change};
  const rest = {...flags};
  delete rest[key];
  return next.flagged || next.note ? {...rest, [key]: next} : rest;
}

export function flagRecords(flags, rows, classes) {
  const named = (index) => (isNumber(index) ? classes[index] ?? String(index) : null);
  const records = [];
  for (const row of rows) {
    const flag = row && flags[flagKey(row)];
    if (!flag) continue;
    records.push({
      index: row.index, name: row.name, label: named(row.label), predicted: named(row.predicted),
      confidence: row.confidence, value: row.value ?? null, flagged: flag.flagged, note: flag.note,
    });
  }
  return records;
}

const COLUMNS = ["index", "name", "label", "predicted", "confidence", "value", "flagged", "note"];

// A text that a spreadsheet would run as a formula gets an apostrophe.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function flagCsv(records) {
  const lines = [COLUMNS, ...records.map((record) => COLUMNS.map((column) => record[column]))];
  return `${lines.map((line) => line.map(csvCell).join(",")).join("\r\n")}\r\n`;
}

export function saveFile(name, content, type) {
  const link = document.createElement("a");
  const address = URL.createObjectURL(new Blob([content], {type}));
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
