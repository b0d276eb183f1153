// Series: each channel as a line over the colours of its attributions; in edit mode one draws a new line.
import {html, useLayoutEffect, useMemo, useRef, useState} from "./vendor/preact.js";
import {clamp, full, grouped, isNumber, short, signed, words} from "./format.js";
import {largest, paint} from "./colour.js";
import {ScaleNote} from "./bits.js";
import {useSignal} from "./signal.js";
import {seriesCell} from "./edits.js";

const TALL = 100;
const TOP_CHANNELS = 8;

export function Sparkline({values}) {
  const flat = Array.isArray(values[0]) ? values[0] : values;
  return html`<svg class="spark" viewBox=${`0 0 ${Math.max(1, flat.length - 1)} ${TALL}`} preserveAspectRatio="none"
    aria-hidden="true"><path d=${linePath(flat, ...extent(flat))} /></svg>`;
}

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!isNumber(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low < high ? [low, high] : isNumber(low) ? [low - 1, low + 1] : [0, 1];
}

// What is no number leaves a gap.
function linePath(values, low, high) {
  let path = "";
  let pen = "M";
  values.forEach((value, step) => {
    if (!isNumber(value)) pen = "M";
    else {
      path += `${pen}${step} ${(TALL * (0.94 - (0.88 * (value - low)) / (high - low))).toFixed(2)}`;
      pen = "L";
    }
  });
  return path;
}

export function SeriesFeature({feature, view, map, limit, editing, changes, onDraw, cursor}) {
  const [everything, setEverything] = useState(false);
  const count = view.values.length;
  const values = map ? view.values.map((_, channel) => map.values[map.values.length === count ? channel : 0]) : null;
  const order = useMemo(() => {
    const places = view.values.map((_, channel) => channel);
    if (!values || count <= TOP_CHANNELS) return places;
    return places.sort((a, b) => largest(values[b]) - largest(values[a]));
  }, [map, count]);
  const shown = everything ? order : order.slice(0, TOP_CHANNELS);
  const lines = useMemo(() => edited(view, changes), [view, changes]);
  return html`<div class="series">
    ${shown.map((channel) => html`<${Channel} key=${channel} feature=${feature} view=${view} channel=${channel}
      line=${lines[channel]} original=${changes.size ? view.values[channel] : null}
      values=${values && values[channel]} limit=${limit} editing=${editing && view.editable} onDraw=${onDraw}
      cursor=${cursor} />`)}
    ${count > TOP_CHANNELS && html`<button type="button" class="plain" aria-expanded=${String(everything)}
      onClick=${() => setEverything(!everything)}>${everything ? `Show ${TOP_CHANNELS} channels` : `Show all ${grouped(count)} channels`}</button>`}
    <${SeriesReadOut} feature=${feature} view=${view} lines=${lines} values=${values} limit=${limit} cursor=${cursor} />
  </div>`;
}

function edited(view, changes) {
  if (!changes.size) return view.values;
  return view.values.map((line, channel) => line.map((value, step) => changes.get(seriesCell(view, channel, step)) ?? value));
}

function Channel({feature, view, channel, line, original, values, limit, editing, onDraw, cursor}) {
  const canvas = useRef(null);
  const last = useRef(null);
  const steps = line.length;
  const own = useMemo(() => extent(original || line), [original || line]);
  const [low, high] = isNumber(view.low) && isNumber(view.high) && view.low < view.high && editing ? [view.low, view.high] : own;
  useLayoutEffect(() => {
    if (!values) return;
    const pen = canvas.current.getContext("2d");
    const picture = pen.createImageData(steps, 1);
    paint(picture.data, values, limit);
    pen.putImageData(picture, 0, 0);
  }, [values, limit, steps]);
  const name = view.channels[channel] ?? `channel ${channel + 1}`;
  const place = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const step = clamp(Math.floor(((event.clientX - box.left) / box.width) * steps), 0, steps - 1);
    const height = clamp((event.clientY - box.top) / box.height, 0, 1);
    return {step, value: low + ((0.94 - height) / 0.88) * (high - low)};
  };
  const draw = (to, grow) => onDraw(between(view, channel, grow && last.current ? last.current : to, to), grow);
  const handlers = channelHandlers({feature, channel, steps, editing, place, draw, last, cursor, line, low, high});
  return html`<div class="channel">
    <p class="channel-name cut" title=${name}>${name}</p>
    <div class=${words(["strip", editing && "canvas-on"])} tabindex="0" role=${editing ? "application" : "img"}
      aria-roledescription=${editing ? "drawing area" : undefined}
      aria-label=${editing ? `Draw over ${name}: left and right move, up and down change the value` : `${name}: ${grouped(steps)} steps${values ? ", coloured by attribution; left and right read single values" : ""}`} ...${handlers}>
      ${values && html`<canvas ref=${canvas} width=${steps} height="1"></canvas>`}
      <svg viewBox=${`-0.5 0 ${steps} ${TALL}`} preserveAspectRatio="none" aria-hidden="true">
        ${original && html`<path class="former" d=${linePath(original, low, high)} />`}
        <path class="now" d=${linePath(line, low, high)} />
      </svg>
      <${StepMark} feature=${feature} channel=${channel} steps=${steps} cursor=${cursor} />
    </div>
  </div>`;
}

// The cells of a straight stroke between two points of one channel.
function between(view, channel, from, to) {
  const cells = new Map();
  const [first, last] = from.step <= to.step ? [from, to] : [to, from];
  for (let step = first.step; step <= last.step; step += 1) {
    const share = last.step === first.step ? 1 : (step - first.step) / (last.step - first.step);
    const value = last.step === first.step ? to.value : first.value + share * (last.value - first.value);
    cells.set(seriesCell(view, channel, step), value);
  }
  return cells;
}

function channelHandlers({feature, channel, steps, editing, place, draw, last, cursor, line, low, high}) {
  const point = (step) => cursor.set({feature, channel, step});
  const onKeyDown = (event) => {
    const at = cursor.value && cursor.value.channel === channel ? cursor.value.step : null;
    const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    const lift = {ArrowUp: 1, ArrowDown: -1}[event.key];
    if (by) point(at === null ? 0 : clamp(at + by * (event.shiftKey ? 10 : 1), 0, steps - 1));
    else if (lift && editing && at !== null) draw({step: at, value: (line[at] ?? low) + (lift * (high - low)) / 40}, false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const looking = {
    onPointerMove: (event) => point(place(event).step), onPointerLeave: () => cursor.set(null), onBlur: () => cursor.set(null), onKeyDown,
  };
  if (!editing) return looking;
  return {
    ...looking,
    onPointerDown: (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      event.currentTarget.focus({preventScroll: true});
      event.currentTarget.setPointerCapture(event.pointerId);
      const to = place(event);
      draw(to, false);
      last.current = to;
    },
    onPointerMove: (event) => {
      const to = place(event);
      point(to.step);
      if (!last.current) return;
      draw(to, true);
      last.current = to;
    },
    onPointerUp: () => (last.current = null),
    onPointerCancel: () => (last.current = null),
  };
}

function StepMark({feature, channel, steps, cursor}) {
  const at = useSignal(cursor);
  if (!at || at.feature !== feature || at.step === undefined || at.step >= steps) return null;
  return html`<span class=${words(["step", at.channel === channel && "here"])}
    style=${{left: `${(100 * (at.step + 0.5)) / steps}%`}} aria-hidden="true"></span>`;
}

function SeriesReadOut({feature, view, lines, values, limit, cursor}) {
  const at = useSignal(cursor);
  const shownValues = useMemo(() => (values ? values.flat() : []), [values && values[0]]);
  const here = at && at.feature === feature && at.step !== undefined && lines[at.channel];
  if (!here) return values ? html`<${ScaleNote} limit=${limit} values=${shownValues} />` : html`<p class="scale">\u00a0</p>`;
  const value = lines[at.channel][at.step];
  const given = values && values[at.channel][at.step];
  return html`<p class="scale" data-testid="readout" aria-live="polite"
    title=${values ? full(given) : undefined}>${view.channels[at.channel]}, step ${grouped(at.step + 1)}: value ${short(value, 4)}${values && html`, attribution <strong>${isNumber(given) ? signed(given) : "not a number"}</strong>`}</p>`;
}
