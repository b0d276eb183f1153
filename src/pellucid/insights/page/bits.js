// Small parts that several views share.
import {html, useEffect, useErrorBoundary, useLayoutEffect, useMemo, useRef, useState} from "./vendor/preact.js";
import {blankNote, hasNegative} from "./colour.js";
import {full, short} from "./format.js";

// Few pixels are shown as squares, many smoothly.
export function sharpen(event) {
  const {naturalWidth, naturalHeight} = event.target;
  event.target.classList.toggle("pixels", Math.max(naturalWidth, naturalHeight) < 128);
}

export function ScaleNote({limit, values}) {
  const both = useMemo(() => hasNegative(values), [values]);
  if (!(limit > 0)) return html`<p class="scale">${blankNote(values)}</p>`;
  return html`<p class="scale">full colour at ${both ? "±" : ""}<span title=${full(limit)}>${short(limit, 2)}</span></p>`;
}

export function Check({verdict}) {
  return html`<p class=${`check ${verdict.level}`} data-testid="check"><span class="dot" aria-hidden="true"></span><span><span
    class="sr">check ${verdict.level}: </span>${verdict.text}
    ${verdict.detail && html` <span class="exact">${verdict.detail}</span>`}</span></p>`;
}

export function Fold({title, children, open = false}) {
  return html`<details class="fold" open=${open}><summary>${title}</summary><div class="folded">${children}</div></details>`;
}

// A button with a short list of actions below it.
export function Menu({label, items, disabled = false, busy = false}) {
  const [open, setOpen] = useState(false);
  const root = useRef(null);
  const button = useRef(null);
  useLayoutEffect(() => {
    if (!open) return undefined;
    const first = root.current.querySelector("[role=menuitem]:not(:disabled)");
    if (first) first.focus({preventScroll: true});
    const outside = (event) => root.current && !root.current.contains(event.target) && setOpen(false);
    document.addEventListener("pointerdown", outside, true);
    return () => document.removeEventListener("pointerdown", outside, true);
  }, [open]);
  const close = () => {
    setOpen(false);
    button.current.focus({preventScroll: true});
  };
  const onKeyDown = (event) => {
    if (!open) return;
    const entries = [...root.current.querySelectorAll("[role=menuitem]:not(:disabled)")];
    const at = entries.indexOf(root.current.getRootNode().activeElement);
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step && entries.length) entries[(at + step + entries.length) % entries.length].focus();
    else if (event.key === "Escape") close();
    else if (event.key === "Tab") return setOpen(false);
    else return undefined;
    event.preventDefault();
    event.stopPropagation();
    return undefined;
  };
  return html`<div class="menu" ref=${root} onKeyDown=${onKeyDown}>
    <button type="button" class="toggle" ref=${button} disabled=${disabled} aria-haspopup="menu" aria-expanded=${String(open)}
      aria-busy=${String(busy)} onClick=${() => setOpen(!open)}>${label}</button>
    ${open && html`<div class="popup" role="menu" aria-label=${label}>
      ${items.map((item) => html`<button type="button" key=${item.title} role="menuitem" disabled=${item.disabled}
        onClick=${() => (close(), item.act())}>${item.title}${item.hint && html`<small>${item.hint}</small>`}</button>`)}
    </div>`}
  </div>`;
}

// What cannot be drawn is said, and the rest of the page lives on; another question is another try.
export function Guard({watch, children}) {
  const [error, reset] = useErrorBoundary();
  const seen = useRef(watch);
  useEffect(() => {
    if (seen.current !== watch && error) reset();
    seen.current = watch;
  }, [watch, error]);
  if (error) return html`<div class="trouble" role="alert"><p><strong>This answer cannot be drawn</strong></p><p
    class="message">${String(error.message || error)}</p></div>`;
  return children;
}
