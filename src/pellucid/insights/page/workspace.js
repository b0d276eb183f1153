// One example: its head, one or two panels, and the tools between them.
import {html, useEffect, useMemo, useRef, useState} from "./vendor/preact.js";
import {grouped} from "./format.js";
import {unedited, useAnswer} from "./asking.js";
import {NO_EDITS, editsOf, redo, undo, withGrown, withStroke} from "./edits.js";
import {choices, questionOf} from "./settings.js";
import {Menu} from "./bits.js";
import {CompareBar} from "./compare.js";
import {EditBar, paintValues} from "./editbar.js";
import {exportItems} from "./exporting.js";
import {Panel, announcement} from "./panel.js";
import {Signal} from "./signal.js";

const QUICK = 30; // milliseconds: moving through the list asks for the example at which one stops
const EDITED = 250;
const NOT_ASKED = {question: null, problem: null, subject: null};

export function Workspace({about, transport, memory, loading, row, place, count, panels, onPanels, view, onView, flag, onFlag, onMove, commands}) {
  const example = row ? row.index : null;
  const [histories, setHistories] = useState({}); // of each example, so that edits are still there when one comes back
  const [paintbox, setPaintbox] = useState({size: 1, value: null, colour: "#ffffff"});
  const [notice, setNotice] = useState(null);
  const cursor = useMemo(() => new Signal(null), [example]);
  const history = histories[example] || NO_EDITS;
  const setHistory = (change) => setHistories((old) => ({...old, [example]: change(old[example] || NO_EDITS)}));
  const reset = () => setHistory(() => NO_EDITS);
  useEffect(() => setNotice(null), [example]);
  const edits = useMemo(() => editsOf(history.strokes), [history]);
  const asked = panels.map((settings) => questionOf(about, settings, example, edits));
  const [first, second] = [asked[0], asked[1] || NOT_ASKED];
  const lastAsked = useRef("");
  const careful = delayOf(lastAsked, edits, panels);
  const answers = [useAnswer(transport, first, memory, careful), useAnswer(transport, second, memory, careful)];
  const bases = asked.map(({subject}) => memory.get(unedited(subject)));
  const editable = !about.static && (bases[0] ? bases[0].inputs : about.features).some((one) => one.editable);
  const canEdit = editable && Boolean(bases[0]);
  const editing = view.editing && canEdit;
  const comparing = panels.length > 1;
  const stroke = (next, grow) => setHistory((old) => (grow && old.strokes.length ? withGrown(old, merged(old.strokes[old.strokes.length - 1], next)) : withStroke(old, next)));
  const editor = {on: editing, strokes: history.strokes, stroke, brush: paintbox.size, paintValues: (one) => paintValues(one, paintbox)};
  Object.assign(commands.current, {
    cancel: () => {
      const busy = answers.filter((answer) => answer.busy);
      for (const answer of busy) answer.cancel();
      return busy.length > 0;
    },
    canEdit, editable,
  });
  const pictures = about.features.some((feature) => feature.kind === "image");
  const tools = {under: view.under, cursor};
  if (!row) return html`<p class="empty">${loading ? "Waiting for the first predictions…" : "There is no example to show."}</p>`;
  return html`<div class="workspace">
    <${ExampleHead} about=${about} row=${row} place=${place} count=${count} onMove=${onMove} flag=${flag} onFlag=${onFlag}>
      ${editable && html`<button type="button" class="toggle" aria-pressed=${String(view.editing)} disabled=${!canEdit}
        title="Edit the example (e)" onClick=${() => onView({editing: !view.editing})}>Edit</button>`}
      <button type="button" class="toggle" aria-pressed=${String(comparing)} title="Compare with another explanation (c)"
        onClick=${() => commands.current.compare()}>Compare</button>
      <${Menu} label="Export" disabled=${!answers.some((answer) => answer.result)}
        items=${exportItems({about, transport, row, asked, answers, notify: setNotice})} />
    <//>
    ${notice && html`<p class=${notice.bad ? "notice trouble" : "notice"}
      role=${notice.bad ? "alert" : "status"}>${notice.text} <button type="button" class="plain" aria-label="Dismiss"
      onClick=${() => setNotice(null)}>×</button></p>`}
    ${editing && html`<${EditBar} views=${bases[0].inputs} paintbox=${paintbox} onPaintbox=${setPaintbox} history=${history}
      onUndo=${() => setHistory(undo)} onRedo=${() => setHistory(redo)} onReset=${reset} />`}
    ${!editing && edits.length > 0 && html`<p class="notice">This example is edited. <button type="button" class="plain"
      onClick=${reset}>Reset the edits</button></p>`}
    ${comparing
      ? html`<${CompareBar} left=${answers[0].result} right=${answers[1].result} shared=${view.shared}
        onShared=${(shared) => onView({shared})} under=${view.under} onUnder=${(under) => onView({under})}
        pictures=${pictures} />`
      : html`<div class="legend-bar"><${Legend} />${pictures && html`<button type="button" class="toggle"
        aria-pressed=${String(view.under)} onClick=${() => onView({under: !view.under})}>Image under the maps</button>`}</div>`}
    <div class=${comparing ? "panels two" : "panels"}>
      ${panels.map((settings, at) => html`<${Panel} key=${at} title=${comparing ? `Explanation ${"AB"[at]}` : "Explanation"}
        comparing=${comparing} about=${about} settings=${settings} row=${row} answer=${answers[at]} problem=${asked[at].problem}
        onSettings=${(next) => onPanels(panels.map((one, which) => (which === at ? next : one)))} base=${bases[at]}
        other=${comparing ? answers[1 - at].result : null} shared=${view.shared} tools=${tools} editor=${editor}
        onTarget=${(target) => onPanels(panels.map((one, which) => (which === at ? {...one, target} : one)))}
        pickable=${(target) => isPickable(about, settings, target)}
        onClose=${at === 1 ? () => onPanels(panels.slice(0, 1)) : null} widget=${transport.kind === "widget"} />`)}
    </div>
    ${comparing && html`<div class="legend-bar"><${Legend} /></div>`}
    <p class="sr" role="status">${announcement(about, row, answers[0])}</p>
  </div>`;
}

function isPickable(about, settings, target) {
  const allowed = choices(about, settings, "target");
  return about.classes.length > 0 && (!allowed || allowed.includes(target));
}

// Edits and typed arguments come in bursts; everything else is asked at once.
function delayOf(lastAsked, edits, panels) {
  const now = JSON.stringify([edits, panels.map((settings) => settings.drafts)]);
  const careful = lastAsked.current !== "" && now !== lastAsked.current;
  lastAsked.current = now;
  return careful ? EDITED : QUICK;
}

function merged(old, next) {
  if (old.feature !== next.feature || !old.cells || !next.cells) return next;
  return {...next, cells: new Map([...old.cells, ...next.cells])};
}

function ExampleHead({about, row, place, count, onMove, flag, onFlag, children}) {
  const flagged = Boolean(flag && flag.flagged);
  const [noting, setNoting] = useState(false);
  useEffect(() => setNoting(false), [row.index]);
  const note = (flag && flag.note) || "";
  const where = place >= 0 ? `${grouped(place + 1)} of ${grouped(count)}` : "outside the filter";
  return html`<header class="head">
    <div class="steps"><button type="button" class="toggle" aria-label="Previous example" title="Previous example (k)"
      disabled=${place === 0 || count === 0} onClick=${() => onMove(-1)}>‹</button>
      <button type="button" class="toggle" aria-label="Next example" title="Next example (j)"
        disabled=${count === 0 || place === count - 1} onClick=${() => onMove(1)}>›</button></div>
    <div class="titles"><h2 class="cut" title=${row.name}>${row.name}</h2><p class="soft" data-testid="place">${where}</p></div>
    <div class="acts">
      <button type="button" class="toggle star" aria-pressed=${String(flagged)} aria-label="Flag" title="Flag (f)"
        onClick=${() => onFlag({flagged: !flagged})}>${flagged ? "★" : "☆"}</button>
      <button type="button" class="toggle" aria-expanded=${String(noting || note !== "")}
        onClick=${() => setNoting(!noting)}>Note</button>
      ${children}
    </div>
    ${(noting || note) && html`<label class="note-field"><span class="sr">Note</span><input type="text"
      placeholder="A note about this example, kept in this browser" value=${note}
      onInput=${(event) => onFlag({note: event.target.value})} /></label>`}
  </header>`;
}

function Legend() {
  return html`<p class="legend"><span>against</span><span class="ramp"
    aria-hidden="true"></span><span>for the explained output</span></p>`;
}
