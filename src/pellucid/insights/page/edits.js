// Changes of an example before it is explained: a history of strokes, and the edits that they make together.
// A stroke is {feature, cells: Map(cell -> value)} or {feature, token, text}; later strokes win.

export const NO_EDITS = {strokes: [], undone: []};

export function withStroke(history, stroke) {
  return {strokes: [...history.strokes, stroke], undone: []};
}

// While a line is drawn or a slider moves, its stroke grows instead of becoming many.
export function withGrown(history, stroke) {
  return {strokes: [...history.strokes.slice(0, -1), stroke], undone: []};
}

export function undo(history) {
  if (!history.strokes.length) return history;
  const last = history.strokes[history.strokes.length - 1];
  return {strokes: history.strokes.slice(0, -1), undone: [...history.undone, last]};
}

export function redo(history) {
  if (!history.undone.length) return history;
  const next = history.undone[history.undone.length - 1];
  return {strokes: [...history.strokes, next], undone: history.undone.slice(0, -1)};
}

// The changed numbers of one feature: Map(cell -> value).
export function cellsOf(strokes, feature) {
  const cells = new Map();
  for (const stroke of strokes) {
    if (stroke.feature === feature && stroke.cells) for (const [cell, value] of stroke.cells) cells.set(cell, value);
  }
  return cells;
}

// The changed tokens of one feature: Map(position in the original text -> text).
export function tokensOf(strokes, feature) {
  const tokens = new Map();
  for (const stroke of strokes) {
    if (stroke.feature !== feature || stroke.token === undefined) continue;
    if (stroke.text === null) tokens.delete(stroke.token);
    else tokens.set(stroke.token, stroke.text);
  }
  return tokens;
}

// What is sent: one edit of numbers per feature, then tokens from the last to the first, so that no
// replacement moves the positions of those still to come.
export function editsOf(strokes) {
  const edits = [];
  const features = [...new Set(strokes.map((stroke) => stroke.feature))].sort((a, b) => a - b);
  for (const feature of features) {
    const cells = [...cellsOf(strokes, feature)].sort((a, b) => a[0] - b[0]);
    if (cells.length) edits.push({feature, cells: cells.map((pair) => pair[0]), values: cells.map((pair) => pair[1])});
    const tokens = [...tokensOf(strokes, feature)].sort((a, b) => b[0] - a[0]);
    for (const [token, text] of tokens) edits.push({feature, token, text});
  }
  return edits;
}

// The cells of a disc in an image (C, H, W), all channels.
export function discCells([channels, height, width], row, column, size, values) {
  const cells = new Map();
  const reach = size / 2;
  const limit = (size / 2) ** 2;
  const first = (at) => Math.ceil(at - reach);
  const last = (at) => Math.floor(at + reach);
  for (let r = Math.max(0, first(row)); r <= Math.min(height - 1, last(row)); r += 1) {
    for (let c = Math.max(0, first(column)); c <= Math.min(width - 1, last(column)); c += 1) {
      if ((r - row) ** 2 + (c - column) ** 2 > limit) continue;
      for (let k = 0; k < channels; k += 1) cells.set((k * height + r) * width + c, values[k]);
    }
  }
  return cells;
}

// The position of (channel, step) in a flattened series of either layout.
export function seriesCell(view, channel, step) {
  const steps = view.values[0].length;
  return view.channel_axis === 1 ? step * view.values.length + channel : channel * steps + step;
}
