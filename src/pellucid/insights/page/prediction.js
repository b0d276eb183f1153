// What the model says about the example: its answer, whether that is right, and the probabilities.
import {html, useLayoutEffect, useRef, useState} from "./vendor/preact.js";
import {isNumber, percent, words} from "./format.js";
import {Badge} from "./filters.js";
import {className} from "./settings.js";

export function Prediction({busy, compact, about, prediction, base, explained, pickable, onTarget}) {
  const box = useRef(null);
  const tall = useRef(0);
  useLayoutEffect(() => {
    if (prediction) tall.current = box.current.offsetHeight;
  }, [prediction]);
  if (!prediction && !busy) return html`<div class="prediction soft">No prediction.</div>`;
  if (!prediction) return html`<div class="prediction ghost-block" aria-hidden="true"
    style=${{minHeight: `${tall.current}px`}}><span class="bar tall"></span><span class="bar"></span><span
    class="bar"></span><span class="bar"></span></div>`;
  const guess = className(about, prediction.predicted) ?? prediction.value ?? "no prediction";
  const truth = className(about, prediction.label);
  const verdict = prediction.label === prediction.predicted;
  const changed = prediction.edited && base;
  return html`<div class="prediction" ref=${box}>
    <p class="answer"><span class="guess" title=${guess} data-testid="guess">${guess}</span><${Badge} row=${prediction} />
      ${prediction.edited && html`<span class="badge edited">edited</span>`}</p>
    ${truth !== null && !(verdict && isNumber(prediction.predicted)) && html`<p
      class="truth">true: <strong>${truth}</strong></p>`}
    ${changed && html`<${BeforeAfter} about=${about} before=${base} after=${prediction} />`}
    ${prediction.probabilities && prediction.probabilities.length > 0 &&
    html`<${Probabilities} compact=${compact} about=${about} prediction=${prediction} before=${changed ? base : null}
      explained=${explained} pickable=${pickable} onTarget=${onTarget} />`}
  </div>`;
}

function shareOf(prediction, index) {
  const found = (prediction.probabilities || []).find((one) => one.class === index);
  return found ? found.share : null;
}

// The classes that answered before and after the edit, with their probabilities then and now.
function BeforeAfter({about, before, after}) {
  if (!isNumber(before.predicted)) {
    return html`<p class="change" data-testid="before-after">before <strong>${before.value ?? "–"}</strong> → now <strong>${after.value ?? "–"}</strong></p>`;
  }
  const watched = [...new Set([before.predicted, after.predicted])].filter(isNumber);
  return html`<ul class="change" aria-label="Before and after the edit" data-testid="before-after">
    ${watched.map((index) => html`<li key=${index}><span class="cut">${className(about, index)}</span> ${was(shareOf(before, index))} → <strong>${was(shareOf(after, index))}</strong></li>`)}
  </ul>`;
}

function was(share) {
  return isNumber(share) ? percent(share) : "small";
}

const FEW = 4;

// Side by side the likeliest classes do, with the true and the explained one; the others are a click away.
function Probabilities({compact, about, prediction, before, explained, pickable, onTarget}) {
  const [everything, setEverything] = useState(false);
  const all = prediction.probabilities;
  const few = all.filter((one, place) => place < FEW || one.class === prediction.label || one.class === explained);
  const folded = compact && few.length < all.length;
  return html`<ul class="classes" aria-label="Probabilities">
    ${(folded && !everything ? few : all).map((one) => {
      const isTrue = one.class === prediction.label;
      const isTarget = one.class === explained;
      const old = before && shareOf(before, one.class);
      const content = html`<span class="name cut">${one.name}${isTrue && html` <span class="tick" title="the true class">✓<span
        class="sr"> true class</span></span>`}</span>
        <span class="track" aria-hidden="true"><span class="fill" style=${{width: `${100 * (one.share || 0)}%`}}></span>
          ${isNumber(old) && html`<span class="former" style=${{left: `${100 * old}%`}}
            title=${`before: ${percent(old)}`}></span>`}</span>
        <span class="share" title=${String(one.share)}>${percent(one.share)}</span>`;
      const can = pickable(one.class);
      const title = isTarget ? `${one.name}: explained now` : can ? `Explain ${one.name}` : one.name;
      return html`<li key=${one.class} class=${words([one.class === prediction.predicted && "predicted", isTarget && "target"])}>
        <button type="button" disabled=${!can && !isTarget} aria-pressed=${String(isTarget)} title=${title}
          onClick=${() => can && onTarget(one.class)}>${content}</button></li>`;
    })}
    ${folded && html`<li><button type="button" class="plain" aria-expanded=${String(everything)}
      onClick=${() => setEverything(!everything)}>${everything ? "Show fewer" : `Show ${all.length - few.length} more`}</button></li>`}
  </ul>`;
}
