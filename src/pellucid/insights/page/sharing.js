// In a notebook the flagged examples are also a list in Python, which either side may change.
import {useEffect, useRef} from "./vendor/preact.js";
import {flagKey, saveFlags, withFlag} from "./flags.js";

function flaggedIn(flags, rows) {
  return rows.filter((row) => row && (flags[flagKey(row)] || {}).flagged).map((row) => row.index).sort((a, b) => a - b);
}

function withList(flags, rows, list) {
  const wanted = new Set(list);
  let next = flags;
  for (const row of rows) {
    if (row && Boolean((next[flagKey(row)] || {}).flagged) !== wanted.has(row.index)) next = withFlag(next, row, {flagged: wanted.has(row.index)});
  }
  return next;
}

export function useSharedFlags(transport, title, predictions, flags, setFlags) {
  const {flagged} = transport;
  const joined = useRef(false);
  const {rows, complete} = predictions;
  useEffect(() => {
    if (!flagged || !complete || !rows.length) return undefined;
    const take = (list) =>
      setFlags((old) => {
        const next = withList(old, rows, list);
        if (next !== old) saveFlags(title, next);
        return next;
      });
    if (!joined.current) take([...flagged.get(), ...flaggedIn(flags, rows)]);
    joined.current = true;
    return flagged.listen(() => take(flagged.get()));
  }, [flagged, complete, rows]);
  useEffect(() => {
    if (!flagged || !complete || !joined.current) return;
    const list = flaggedIn(flags, rows);
    const told = [...flagged.get()].sort((a, b) => a - b);
    if (list.join() !== told.join()) flagged.set(list);
  }, [flags, complete]);
}
