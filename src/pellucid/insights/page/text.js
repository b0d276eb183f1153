// Texts: each token on the colour of its attribution; in edit mode a token can be changed or removed.
import {html, useEffect, useLayoutEffect, useMemo, useRef, useState} from "./vendor/preact.js";
import {clamp, full, isNumber, signed, words} from "./format.js";
import {tokenColour} from "./colour.js";
import {ScaleNote} from "./bits.js";

const SPECIAL = /^(\[[A-Z][A-Z0-9_]*\]|<\|?[^<>|\s]+\|?>)$/;

// Tokenizers mark pieces of words in three ways; tokens without marks are words.
function marksOf(tokens) {
  if (tokens.some((token) => token.startsWith("##") && token.length > 2)) return "##";
  return ["▁", "Ġ"].find((mark) => tokens.some((token) => token.startsWith(mark))) || "";
}

export function readTokens(tokens, special) {
  const marks = marksOf(tokens);
  const known = new Set(special);
  const isSpecial = (place) => known.has(place) || SPECIAL.test(tokens[place]);
  const read = (token, place) => {
    const alone = isSpecial(place);
    const marked = marks && token.startsWith(marks);
    const begins = !marks ? true : marks === "##" ? !(marked && token.length > 2) : marked || /^[ĊĉĠ▁]/.test(token);
    const bare = !alone && marked && !(marks === "##" && begins) ? token.slice(marks.length) : token;
    const text = bare.replaceAll("Ċ", "⏎").replaceAll("ĉ", "⇥").replaceAll("Ġ", " ").replaceAll("▁", " ");
    return {text: visibleText(text), special: alone, space: place > 0 && (alone || begins || isSpecial(place - 1)), places: [place]};
  };
  return folded(tokens.map(read), tokens);
}

const RUN = 3;

// A run of the same special token, as padding is, becomes one that says how often it stands there.
function folded(items, tokens) {
  const shown = [];
  for (let at = 0; at < items.length; ) {
    let end = at + 1;
    while (items[at].special && end < items.length && tokens[end] === tokens[at]) end += 1;
    if (end - at < RUN) shown.push(...items.slice(at, end));
    else shown.push({...items[at], text: `${items[at].text} × ${end - at}`, places: items.slice(at, end).map((item) => item.places[0])});
    at = end;
  }
  return shown;
}

function valueOf(values, item) {
  return item.places.reduce((sum, place) => (isNumber(sum) && isNumber(values[place]) ? sum + values[place] : null), 0);
}

function visibleText(text) {
  if (text.trim() === "") return text === "" ? "␣" : text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣");
  return text.replaceAll("\n", "⏎").replaceAll("\t", "⇥");
}

export function TextFeature({view, map, limit, editing, changes, base, onToken}) {
  const shown = editing && base ? base : view;
  const tokens = useMemo(() => readTokens(shown.tokens, shown.special || []), [shown]);
  const [open, setOpen] = useState(null);
  const [pointed, setPointed] = useState(null);
  useEffect(() => setOpen(null), [editing, shown.name]);
  const values = map && map.values.length === view.tokens.length && !editing ? map.values : null;
  const chosen = pointed !== null && pointed < tokens.length ? pointed : null;
  const onKeyDown = (event) => {
    const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!by || !values) return;
    setPointed(chosen === null ? 0 : clamp(chosen + by, 0, tokens.length - 1));
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div>
    ${editing && html`<${TokenEditor} tokens=${tokens} changes=${changes} open=${open} setOpen=${setOpen} onToken=${onToken}
      raw=${shown.tokens} />`}
    ${editing && html`<p class="scale">What the model now reads, by its attribution:</p>`}
    ${editing ? html`<${TextFeature} view=${view} map=${map} limit=${limit} editing=${false} changes=${changes} />` : html`
    <p class="tokens" dir="auto" tabindex=${values ? "0" : undefined} onPointerLeave=${() => setPointed(null)}
      onBlur=${() => setPointed(null)} onKeyDown=${onKeyDown}>
      ${tokens.map((token, place) => html`${token.space ? " " : ""}<span key=${place}
        class=${words(["token", token.special && "special", place === chosen && "here"])}
        style=${{background: values ? tokenColour(valueOf(values, token), limit) : "transparent"}}
        title=${values ? full(valueOf(values, token)) : undefined}
        onPointerEnter=${() => setPointed(place)}>${token.text}</span>`)}
    </p>
    ${values && (chosen === null ? html`<${ScaleNote} limit=${limit} values=${values} />` : html`<p class="scale" data-testid="readout"
      aria-live="polite">“${tokens[chosen].text}”: <strong>${isNumber(valueOf(values, tokens[chosen])) ? signed(valueOf(values, tokens[chosen])) : "not a number"}</strong></p>`)}`}
  </div>`;
}

// The original tokens as buttons: what is changed shows its new text, what is removed is struck out.
function TokenEditor({tokens, changes, open, setOpen, onToken}) {
  const at = open === null ? null : tokens.find((token) => token.places[0] === open);
  return html`<div class="token-editor"><div class="tokens editing" dir="auto" role="group" aria-label="Tokens: choose one to change or remove it">
    ${tokens.map((token) => {
      const [place] = token.places;
      const change = changes.get(place);
      const removed = change === "";
      const text = change === undefined || removed ? token.text : change;
      return html`${token.space ? " " : ""}<span key=${place}><button type="button" disabled=${token.special}
        class=${words(["token", token.special && "special", removed && "removed", change !== undefined && "changed"])}
        aria-expanded=${String(open === place)} title=${removed ? "removed" : change !== undefined ? `was: ${token.text}` : "Change or remove"} onClick=${() => setOpen(open === place ? null : place)}>${text}${removed && html`<span class="sr"> removed</span>`}</button></span>`;
    })}
  </div>
  ${at && html`<${TokenForm} key=${open} text=${changes.get(open) ?? at.text} original=${at.text} changed=${changes.has(open)}
    onDone=${(next) => (setOpen(null), next !== undefined && onToken(open, next))} />`}</div>`;
}

function TokenForm({text, original, changed, onDone}) {
  const field = useRef(null);
  const [value, setValue] = useState(text);
  // Before the next key press: a letter typed too early would be a command of the page.
  useLayoutEffect(() => {
    field.current.focus({preventScroll: true});
    field.current.select();
  }, []);
  const submit = (event) => {
    event.preventDefault();
    onDone(value.trim());
  };
  const onKeyDown = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    onDone(undefined);
  };
  return html`<form class="token-form" onSubmit=${submit} onKeyDown=${onKeyDown}>
    <input type="text" ref=${field} aria-label=${`New text instead of ${original}`} value=${value}
      onInput=${(event) => setValue(event.target.value)} />
    <button type="submit" class="toggle">Replace</button>
    <button type="button" class="toggle" onClick=${() => onDone("")}>Remove</button>
    ${changed && html`<button type="button" class="toggle" onClick=${() => onDone(null)}>Restore</button>`}
  </form>`;
}
