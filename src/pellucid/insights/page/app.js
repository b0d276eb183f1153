// The whole page: the list on the left, the example on the right, and the keys.
import {html, useEffect, useMemo, useRef, useState} from "./vendor/preact.js";
import {clamp} from "./format.js";
import {Memory, useAbout, usePredictions, useThumbnails} from "./asking.js";
import {Filters, filtered, firstFilter} from "./filters.js";
import {useSharedFlags} from "./sharing.js";
import {flagCsv, flagKey, flagRecords, loadFlags, saveFile, saveFlags, withFlag} from "./flags.js";
import {firstSettings, possible} from "./settings.js";
import {Menu} from "./bits.js";
import {Help} from "./help.js";
import {ExampleList, ListFoot} from "./list.js";
import {Workspace} from "./workspace.js";

export function App({transport, root, wide}) {
  const {about, error, retry} = useAbout(transport);
  if (error) {
    return html`<div class="whole"><div class="trouble" role="alert"><p>${error.message}</p><button type="button" class="toggle"
      onClick=${retry}>Try again</button></div></div>`;
  }
  if (!about) return html`<div class="whole" role="status"><p class="soft">Loading…</p></div>`;
  return html`<${Desk} about=${about} transport=${transport} root=${root} wide=${wide} />`;
}

function Desk({about, transport, root, wide}) {
  const [panels, setPanels] = useState(() => [possible(about, firstSettings(about))]);
  const [filter, setFilter] = useState(() => firstFilter(about));
  const [flags, setFlags] = useState(() => loadFlags(about.title));
  const [selected, setSelected] = useState(null);
  const [view, setView] = useState({under: true, shared: false, editing: false});
  const [help, setHelp] = useState(false);
  const [listOpen, setListOpen] = useState(false);
  const memory = useMemo(() => new Memory(), [transport]);
  const predictions = usePredictions(transport, panels[0].model);
  const thumbnails = useThumbnails(transport);
  const {rows: all, version} = predictions;
  const rows = useMemo(() => filtered(all, filter, flags), [all, version, filter, flags]);
  const place = useMemo(() => rows.findIndex((row) => row.index === selected), [rows, selected]);
  const row = selected === null ? null : all[selected] || null;
  const known = useRef(null);
  if (row) known.current = row;
  const shownRow = row || (known.current && known.current.index === selected ? {...known.current, predicted: null} : null);
  useEffect(() => {
    if (selected === null && rows.length) setSelected(rows[0].index);
  }, [rows, selected]);
  useSharedFlags(transport, about.title, predictions, flags, setFlags);
  const flagOf = (change) => {
    if (!shownRow) return;
    setFlags((old) => {
      const next = withFlag(old, shownRow, change);
      saveFlags(about.title, next);
      return next;
    });
  };
  const move = (by) => rows.length && setSelected(rows[place < 0 ? 0 : clamp(place + by, 0, rows.length - 1)].index);
  const commands = useRef({});
  Object.assign(commands.current, {
    move,
    flag: () => shownRow && flagOf({flagged: !(flags[flagKey(shownRow)] || {}).flagged}),
    edit: () => commands.current.canEdit && setView((old) => ({...old, editing: !old.editing})),
    compare: () => setPanels((old) => (old.length > 1 ? old.slice(0, 1) : [...old, secondSettings(about, old[0])])),
    help: () => setHelp(true),
    leave: () => setView((old) => ({...old, editing: false})),
  });
  useKeys(root, wide, commands);
  const failed = predictions.error && !predictions.count; // said where everyone looks
  const cleared = {...filter, prediction: "all", labels: [], predicted: [], low: 0, high: 100, flagged: false, name: ""};
  const records = () => flagRecords(flags, all, about.classes);
  const flagCount = Object.keys(flags).length;
  return html`<div class=${listOpen ? "desk open" : "desk"}>
    <header class="top">
      <p class="brand"><svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><circle cx="12" cy="12" r="10"
        fill="none" stroke="currentColor" stroke-width="2"/><path d="M12 2a10 10 0 0 1 0 20z"
        fill="currentColor"/></svg><span>Pellucid</span></p>
      <h1 class="cut" title=${about.title}>${about.title}</h1>
      <div class="acts">
        <button type="button" class="toggle list-switch" aria-expanded=${String(listOpen)}
          onClick=${() => setListOpen(!listOpen)}>Examples</button>
        <${Menu} label="Flags" disabled=${!flagCount} items=${[
          {title: "Save flags and notes (JSON)", act: () => saveFile("flags.json", JSON.stringify({title: about.title, flags: records()}, null, 1), "application/json")},
          {title: "Save flags and notes (CSV)", act: () => saveFile("flags.csv", flagCsv(records()), "text/csv;charset=utf-8")},
        ]} />
        <button type="button" class="toggle" aria-label="Help" title="Help (?)" onClick=${() => setHelp(true)}>?</button>
      </div>
    </header>
    <nav class="side" aria-label="Examples">
      <${Filters} about=${about} rows=${all} version=${version} filter=${filter} onChange=${setFilter} shown=${rows.length}
        predictions=${predictions} cleared=${cleared} />
      <${ExampleList} about=${about} rows=${rows} selected=${selected}
        onSelect=${(index) => (setSelected(index), setListOpen(false))} thumbnails=${thumbnails} flags=${flags}
        predictions=${predictions} onClear=${() => setFilter(cleared)} />
      ${!failed && html`<${ListFoot} predictions=${predictions} />`}
    </nav>
    <main class="main">
      ${failed && html`<div class="trouble" role="alert"><p><strong>No predictions</strong></p><p class="message">${predictions.error.message}</p>
        <button type="button" class="toggle" onClick=${predictions.retry}>Try again</button></div>`}
      ${!failed && html`<${Workspace} about=${about} transport=${transport} memory=${memory} loading=${!predictions.complete || rows.length > 0}
        row=${shownRow} place=${place} count=${rows.length} panels=${panels} onPanels=${setPanels} view=${view}
        onView=${(change) => setView((old) => ({...old, ...change}))} flag=${shownRow && flags[flagKey(shownRow)]}
        onFlag=${flagOf} onMove=${move} commands=${commands} />`}
    </main>
    ${help && html`<${Help} onClose=${() => setHelp(false)} version=${about.version} editable=${commands.current.editable} />`}
  </div>`;
}

// The second panel begins with another method, since two equal ones show nothing.
function secondSettings(about, settings) {
  const others = about.methods.filter((method) => method.name !== settings.method && method.scope !== "layer");
  const next = others.length ? others[0].name : settings.method;
  return possible(about, {...settings, method: next, layer: null});
}

const KEYED = {
  j: "next", ArrowDown: "next", ArrowRight: "next", k: "previous", ArrowUp: "previous", ArrowLeft: "previous", f: "flag", e: "edit", c: "compare", "?": "help", Escape: "cancel",
};

function useKeys(root, wide, commands) {
  useEffect(() => {
    const onKeyDown = (event) => {
      const target = event.target;
      const inside = root.contains(target);
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || (!inside && target !== document.body)) return;
      if (isField(target) && event.key !== "Escape") return;
      const does = KEYED[event.key];
      if (!does) return;
      const acts = commands.current;
      if (does === "next") acts.move(1);
      else if (does === "previous") acts.move(-1);
      else if (does === "cancel") {
        if (!acts.cancel()) acts.leave();
      }
      else acts[does]();
      if (!isField(target)) event.preventDefault();
      event.stopPropagation();
    };
    // A page of its own has no other use for keys; in a notebook only those pressed inside are ours.
    const place = wide ? document : root;
    place.addEventListener("keydown", onKeyDown);
    return () => place.removeEventListener("keydown", onKeyDown);
  }, [root, wide]);
}

function isField(target) {
  if (target.isContentEditable || ["SELECT", "TEXTAREA"].includes(target.tagName)) return true;
  return target.tagName === "INPUT" && !["checkbox", "button"].includes(target.type);
}
