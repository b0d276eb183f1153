// The list of examples: only the rows in view exist, however many there are.
import {html, useEffect, useLayoutEffect, useMemo, useRef, useState} from "./vendor/preact.js";
import {clamp, freshId, grouped, percent, words} from "./format.js";
import {className} from "./settings.js";
import {verdictOf} from "./filters.js";
import {flagKey} from "./flags.js";
import {sharpen} from "./bits.js";
import {Sparkline} from "./series.js";

const ROW = 58; // pixels, as in app.css
const BEYOND = 6;

export function ExampleList({about, rows, selected, onSelect, thumbnails, flags, predictions, onClear}) {
  const box = useRef(null);
  const [view, setView] = useState({top: 0, height: 600});
  const id = useMemo(() => freshId("row"), []);
  const place = useMemo(() => rows.findIndex((row) => row.index === selected), [rows, selected]);
  useLayoutEffect(() => {
    const measure = () => box.current && setView({top: box.current.scrollTop, height: box.current.clientHeight || 600});
    measure();
    const watcher = new ResizeObserver(measure);
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const first = clamp(Math.floor(view.top / ROW) - BEYOND, 0, rows.length);
  const last = clamp(Math.ceil((view.top + view.height) / ROW) + BEYOND, 0, rows.length);
  const shown = rows.slice(first, last);
  useEffect(() => thumbnails.want(shown.map((row) => row.index)), [rows, first, last]);
  useEffect(() => {
    if (place < 0 || !box.current) return;
    const {scrollTop, clientHeight} = box.current;
    if (place * ROW < scrollTop) box.current.scrollTop = place * ROW;
    else if ((place + 1) * ROW > scrollTop + clientHeight) box.current.scrollTop = (place + 1) * ROW - clientHeight;
  }, [selected, place]);
  const onKeyDown = (event) => {
    const page = Math.max(1, Math.floor(view.height / ROW) - 1);
    const moves = {Home: 0, End: rows.length - 1, PageDown: place + page, PageUp: place - page};
    if (!(event.key in moves) || !rows.length) return;
    onSelect(rows[clamp(moves[event.key], 0, rows.length - 1)].index);
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="list" ref=${box} role="listbox" aria-label="Examples" tabindex="0" onKeyDown=${onKeyDown}
    aria-activedescendant=${place >= first && place < last ? `${id}-${selected}` : undefined}
    onScroll=${() => setView({top: box.current.scrollTop, height: box.current.clientHeight})}>
    ${rows.length > 0
      ? html`<div class="runway" role="presentation" style=${{height: `${rows.length * ROW}px`}}>
          ${shown.map((row, at) => html`<${Row} key=${row.index} id=${`${id}-${row.index}`} about=${about} row=${row}
            place=${first + at} count=${rows.length}
            on=${row.index === selected} parts=${thumbnails.known.get(row.index)} flag=${flags[flagKey(row)]}
            onSelect=${onSelect} />`)}
        </div>`
      : html`<${Nothing} predictions=${predictions} onClear=${onClear} />`}
  </div>`;
}

function Nothing({predictions, onClear}) {
  if (predictions.error && !predictions.count) return null; // said below the list
  if (!predictions.complete && !predictions.count) {
    return html`<div class="ghosts" aria-label="Loading examples">${[0, 1, 2, 3, 4, 5].map((key) => html`<div class="ghost"
      key=${key}><span class="square"></span><span class="bar"></span></div>`)}</div>`;
  }
  if (!predictions.count) return html`<p class="empty">There are no examples.</p>`;
  return html`<div class="empty"><p>No example passes these filters${predictions.complete ? "" : " yet"}.</p>
    <button type="button" class="toggle" onClick=${onClear}>Clear filters</button></div>`;
}

function Row({id, about, row, place, count, on, parts, flag, onSelect}) {
  const verdict = verdictOf(row);
  const guess = className(about, row.predicted) ?? row.value ?? "–";
  const truth = verdict === "wrong" ? className(about, row.label) : null;
  const text = (parts || []).filter((part) => part.text).map((part) => part.text).join(" · ");
  return html`<div id=${id} class=${words(["row", on && "on", verdict])} role="option" aria-selected=${String(on)}
    aria-posinset=${place + 1} aria-setsize=${count}
    style=${{top: `${place * ROW}px`}} title=${row.name} onClick=${() => onSelect(row.index)}>
    <${Picture} parts=${parts} waiting=${!parts} />
    <span class="about-row">
      <span class="said"><strong class="cut">${guess}</strong>${truth !== null && html`<span class="miss cut"><span
        class="sr">wrong, </span>true: ${truth}</span>`}</span>
      <span class="named cut">${row.name}${text && html`<span class="excerpt"> · ${text}</span>`}</span>
    </span>
    <span class="aside-row">
      ${row.confidence !== null && row.confidence !== undefined && html`<span class="confidence"
        title=${`confidence ${row.confidence}`}>${percent(row.confidence)}</span>`}
      ${flag && html`<span class="star" title=${flag.note || "flagged"}>${flag.flagged ? "★" : "✎"}<span
        class="sr">${flag.flagged ? " flagged" : " has a note"}</span></span>`}
    </span>
  </div>`;
}

function Picture({parts, waiting}) {
  const part = (parts || []).find((one) => one.kind === "image" || one.kind === "series");
  if (part && part.kind === "image") return html`<img class="thumb" src=${part.uri} alt="" onLoad=${sharpen} />`;
  if (part) return html`<span class="thumb"><${Sparkline} values=${part.values} /></span>`;
  return waiting ? html`<span class="thumb waiting"></span>` : null;
}

export function ListFoot({predictions}) {
  const {error, notes, total} = predictions;
  if (!error && !notes.length) return null;
  return html`<div class="foot">
    ${error && html`<div class="trouble" role="alert"><p>${error.message}</p>
      ${predictions.count > 0 && html`<p class="soft">${grouped(predictions.count)} of ${grouped(total)} examples were predicted.</p>`}
      <button type="button" class="toggle" onClick=${predictions.retry}>Try again</button></div>`}
    ${notes.map((note) => html`<p class="note" key=${note}>${note}</p>`)}
  </div>`;
}
