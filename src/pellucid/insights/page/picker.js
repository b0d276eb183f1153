// A searchable choice from few or thousands of names, one or several of them.
import {html, useEffect, useLayoutEffect, useMemo, useRef, useState} from "./vendor/preact.js";
import {clamp, freshId, grouped, words} from "./format.js";

const SHOWN = 80;

export function Picker({label, options, chosen, multiple = false, none = "any", onChange, disabled = false}) {
  const [open, setOpen] = useState(false);
  const root = useRef(null);
  const button = useRef(null);
  const id = useMemo(() => freshId("picker"), []);
  const list = multiple ? chosen : [chosen];
  const named = options.filter((option) => list.includes(option.value)).map((option) => option.name);
  const text = named.length === 0 ? none : named.length <= 2 ? named.join(", ") : `${named.length} chosen`;
  const close = (refocus) => {
    setOpen(false);
    if (refocus && button.current) button.current.focus();
  };
  const choose = (value) => {
    if (!multiple) {
      onChange(value);
      close(true);
    } else onChange(list.includes(value) ? list.filter((one) => one !== value) : [...list, value]);
  };
  const onFocusOut = (event) => {
    if (event.relatedTarget && !root.current.contains(event.relatedTarget)) setOpen(false);
  };
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event) => root.current && !root.current.contains(event.target) && setOpen(false);
    document.addEventListener("pointerdown", outside, true);
    return () => document.removeEventListener("pointerdown", outside, true);
  }, [open]);
  return html`<div class="pick" ref=${root} onFocusOut=${onFocusOut}>
    <span class="label" id=${`${id}-label`}>${label}</span>
    <button type="button" class="choice" ref=${button} id=${id} disabled=${disabled} aria-haspopup="listbox"
      aria-expanded=${String(open)} aria-labelledby=${`${id}-label ${id}`} title=${named.join(", ") || none}
      onClick=${() => setOpen(!open)}><span class="cut">${text}</span></button>
    ${open &&
    html`<${PickerPopup} id=${id} label=${label} options=${options} list=${list} multiple=${multiple}
      onChoose=${choose} onClear=${() => onChange([])} onClose=${close} />`}
  </div>`;
}

function PickerPopup({id, label, options, list, multiple, onChoose, onClear, onClose}) {
  const [search, setSearch] = useState("");
  const [active, setActive] = useState(() => Math.max(0, options.findIndex((option) => list.includes(option.value))));
  const field = useRef(null);
  const box = useRef(null);
  useLayoutEffect(() => field.current.focus({preventScroll: true}), []);
  const wanted = search.trim().toLowerCase();
  const found = useMemo(() => matching(options, wanted), [options, wanted]);
  const at = clamp(active, 0, Math.max(0, found.length - 1));
  const first = clamp(at - SHOWN / 2, 0, Math.max(0, found.length - SHOWN));
  const shown = found.slice(first, first + SHOWN);
  useEffect(() => {
    const item = box.current && box.current.querySelector("[data-active=true]");
    if (item) box.current.scrollTop = clamp(box.current.scrollTop, item.offsetTop + item.offsetHeight - box.current.clientHeight, item.offsetTop);
  }, [at, found]);
  const onKeyDown = (event) => {
    const moves = {ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 8, PageUp: at - 8};
    if (event.key in moves) setActive(clamp(moves[event.key], 0, found.length - 1));
    else if (event.key === "Enter" && found[at]) onChoose(found[at].value);
    else if (event.key === "Escape") onClose(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="popup">
    <input type="text" ref=${field} role="combobox" aria-expanded="true" aria-autocomplete="list" autocomplete="off"
      aria-label=${`Search: ${label}`} aria-controls=${`${id}-list`} placeholder="Search"
      aria-activedescendant=${found.length ? `${id}-${at}` : undefined} value=${search}
      onInput=${(event) => (setSearch(event.target.value), setActive(0))} onKeyDown=${onKeyDown} />
    <ul role="listbox" ref=${box} id=${`${id}-list`} aria-label=${label} aria-multiselectable=${String(multiple)} tabindex="-1">
      ${first > 0 && html`<li class="more" role="presentation">${grouped(first)} above</li>`}
      ${shown.map((option, place) => {
        const on = list.includes(option.value);
        const here = first + place === at;
        return html`<li key=${option.value} role="option" id=${`${id}-${first + place}`} aria-selected=${String(on)}
          data-active=${String(here)}
          class=${words([on && "on"])} title=${option.name} onClick=${() => onChoose(option.value)}>
          <span class="mark" aria-hidden="true">${on ? "✓" : ""}</span><span class="cut">${option.name}</span>
          ${option.hint !== undefined && html`<span class="hint">${option.hint}</span>`}</li>`;
      })}
      ${found.length - first > SHOWN &&
      html`<li class="more" role="presentation">${grouped(found.length - first - SHOWN)} more: type to narrow down</li>`}
      ${!found.length && html`<li class="more" role="presentation">nothing of this name</li>`}
    </ul>
    ${multiple && html`<button type="button" class="plain" disabled=${!list.length} onClick=${onClear}>Clear choice</button>`}
  </div>`;
}

// Names that begin with the search come before those that only hold it.
function matching(options, wanted) {
  if (!wanted) return options;
  const begin = [];
  const hold = [];
  for (const option of options) {
    const name = option.name.toLowerCase();
    if (name.startsWith(wanted)) begin.push(option);
    else if (name.includes(wanted)) hold.push(option);
  }
  return [...begin, ...hold];
}
