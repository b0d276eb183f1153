// One question and its answer: what is asked, what the model says, the map, and how far to trust it.
import {html, useEffect, useLayoutEffect, useRef, useState} from "./vendor/preact.js";
import {full, grouped, isNumber, percent, plural, seconds, short, signed, words} from "./format.js";
import {className} from "./settings.js";
import {Check, Fold, Guard} from "./bits.js";
import {Controls} from "./controls.js";
import {FeatureView, FigureMap} from "./feature.js";
import {Prediction} from "./prediction.js";
import {Signed} from "./table.js";
import {limitsOf} from "./compare.js";

const NARROW = 600; // pixels: below, the prediction stands above the map and is kept short

export function Panel({title, comparing, about, settings, onSettings, row, answer, problem, base, other, shared, tools, editor, onTarget, pickable, onClose, widget}) {
  const {prediction, result} = answer;
  const explained = result ? result.target.index : explainedIndex(settings, prediction);
  const card = useRef(null);
  const tall = useRef(0);
  const [narrow, setNarrow] = useState(false);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setNarrow(entry.contentRect.width < NARROW));
    watcher.observe(card.current);
    return () => watcher.disconnect();
  }, []);
  // While the next answer is awaited the panel keeps its height, so that nothing below or scrolled to jumps.
  useLayoutEffect(() => {
    if (result) tall.current = card.current.offsetHeight;
  }, [answer.key, Boolean(result)]);
  return html`<article class="card panel" ref=${card} aria-label=${title} aria-busy=${String(answer.busy)}
    style=${{minHeight: answer.busy && tall.current ? `${tall.current}px` : "0px"}}>
    ${onClose && html`<button type="button" class="plain close" aria-label="Close the comparison"
      title="Close the comparison (c)" onClick=${onClose}>×</button>`}
    <${Controls} about=${about} settings=${settings} onSettings=${onSettings} row=${row} problem=${problem} />
    <div class="body">
      <${Prediction} busy=${answer.busy} compact=${comparing || narrow} about=${about} prediction=${prediction} base=${base}
        explained=${explained} pickable=${pickable} onTarget=${onTarget} />
      <div class="explanation">
        <${Headline} about=${about} answer=${answer} problem=${problem} widget=${widget} />
        <${Guard} watch=${answer.key}><${Maps} about=${about} answer=${answer} base=${base} other=${other} shared=${shared}
          tools=${tools} editor=${editor} />
        ${result && html`<${Beside} result=${result} />`}<//>
      </div>
    </div>
  </article>`;
}

function explainedIndex(settings, prediction) {
  if (isNumber(settings.target)) return settings.target;
  return prediction ? prediction[settings.target] : null;
}

function Headline({about, answer, problem, widget}) {
  const {phase, result, error} = answer;
  if (phase === "idle") return problem ? html`<p class="soft headline">Nothing is asked yet.</p>` : null;
  if (phase === "failed") return html`<${Failure} error=${error} onRetry=${answer.retry} />`;
  if (phase === "cancelled") {
    return html`<div class="headline"><p class="soft" role="status">Cancelled.</p> <button type="button" class="toggle"
      onClick=${answer.retry}>Explain again</button></div>`;
  }
  if (!result) return html`<${Running} answer=${answer} widget=${widget} />`;
  return html`<div class="headline">
    <h3 class="method-title">${result.title}${result.target.name !== null && about.classes.length > 0 && html` <span
      class="soft">for the output</span> <span>${result.target.name}</span>`}</h3>
    <${Check} verdict=${result.verdict} />
    <p class="sums" data-testid="sums"><${Sums} result=${result} /></p>
  </div>`;
}

function Sums({result}) {
  const said = /delta|absorbed/.test(result.verdict.detail || ""); // the check has named what is missing
  const parts = [["sum", result.sum, signed], ["output", result.output, short], ["delta", said ? null : result.delta, short]];
  return parts.filter((part) => isNumber(part[1])).map(([name, value, write]) => html`<span key=${name}
    title=${full(value)}>${name} <strong>${write(value)}</strong></span>`);
}

function Failure({error, onRetry}) {
  const said = {model: "The model raised an error", question: "This cannot be explained so"}[error.source] || "No explanation";
  return html`<div class="trouble headline" role="alert" data-testid="failure"><p><strong>${said}</strong></p><p
    class="message">${error.message}</p>
    <button type="button" class="toggle" onClick=${onRetry}>Try again</button></div>`;
}

// Quick answers come before there is anything to say; slow ones show how far they are and can be cancelled.
function Running({answer, widget}) {
  const [waited, setWaited] = useState(0);
  useEffect(() => {
    setWaited(0);
    const timers = [250, 8000].map((delay, place) => setTimeout(() => setWaited(place + 1), delay));
    return () => timers.forEach(clearTimeout);
  }, [answer.key]);
  const {progress} = answer;
  if (!waited && !progress) return html`<div class="headline running"></div>`;
  const known = progress && isNumber(progress.total) && progress.total > 0;
  const text = progress ? progress.text : answer.prediction ? "Explaining" : "Asking the model";
  return html`<div class="headline running">
    <p><span>${text}${known && html` <span class="soft">${grouped(progress.done)} of ${grouped(progress.total)}</span>`}</span>
      <button type="button" class="toggle" onClick=${answer.cancel}>Cancel</button></p>
    <div class=${words(["progress", !known && "endless"])} role="progressbar" aria-label=${text || "Explaining"}
      aria-valuemin="0" aria-valuemax=${known ? progress.total : undefined} aria-valuenow=${known ? progress.done : undefined}>
      <span style=${known ? {width: `${Math.min(100, (100 * progress.done) / progress.total)}%`} : {}}></span></div>
    ${waited > 1 && !progress && !answer.prediction && html`<p
      class="soft">${widget ? "No answer yet: the notebook may be running another cell." : "No answer yet: Python may be busy."}</p>`}
  </div>`;
}

// Inputs and maps belong together place by place; a layer's map stands alone.
function Maps({about, answer, base, other, shared, tools, editor}) {
  const {prediction, result} = answer;
  const inputs = prediction ? prediction.inputs : base ? base.inputs : null;
  if (!inputs) return answer.busy ? html`<div class="ghost-block maps-ghost" aria-hidden="true"></div>` : null;
  const maps = result ? result.maps : [];
  const limits = result ? limitsOf(result, other, shared) : [];
  const paired = !result || (maps.length === inputs.length && maps.every((map, place) => [inputs[place].kind, "figure", "empty"].includes(map.kind)));
  const nameOf = (place) => inputs[place].name || (about.features[place] || {}).name || `input ${place + 1}`;
  const shown = inputs.map((view, place) => html`<${FeatureView} key=${`input ${place}`} feature=${place} name=${nameOf(place)}
    view=${view} base=${base && base.inputs[place]}
    map=${paired ? maps[place] : null} limit=${limits[place]} waiting=${answer.busy} tools=${tools} editor=${editor}
    titled=${inputs.length > 1} />`);
  const alone = paired ? [] : maps.map((map, place) => map.kind === "figure" ? html`<figure
    key=${place}><figcaption>Attribution</figcaption><${FigureMap} map=${map} /></figure>`
    : map.kind === "image" ? html`<${FeatureView} key=${`map ${place}`} feature=${-1 - place} name=${result.title} view=${null}
      map=${map} limit=${limits[place]} tools=${tools} editor=${editor} />` : null);
  return html`<div class="maps">${alone}${shown}</div>`;
}

function Beside({result}) {
  return html`<div class="beside">
    ${(result.warnings || []).map((warning) => html`<p class="warning"
      key=${warning.message}><strong>${warning.category}</strong> ${warning.message}</p>`)}
    ${(result.contributions || []).length > 1 && html`<${Contributions} rows=${result.contributions} />`}
    ${result.certificate && html`<${Certificate} certificate=${result.certificate} />`}
    <${Computed} result=${result} />
  </div>`;
}

function Contributions({rows}) {
  const scale = Math.max(...rows.map((row) => (isNumber(row.sum) ? Math.abs(row.sum) : 0)));
  return html`<section class="contributions" aria-label="Contribution per input"><h4>Contribution per input</h4>
    <table class="features"><thead class="sr"><tr><th scope="col">input</th><th scope="col">share</th><th
      scope="col">contribution</th><th scope="col">sum</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.feature}><th scope="row" title=${row.feature}><span
      class="clip">${row.feature}</span></th><td class="held">${percent(row.share)}</td><${Signed} value=${row.sum}
      scale=${scale} /></tr>`)}</tbody></table></section>`;
}

function Certificate({certificate}) {
  return html`<${Fold} title=${html`Certificate: ${certificate.title}`}>
    <ul class="facts">${certificate.facts.map((fact) => html`<li key=${fact}>${fact}</li>`)}</ul>
    ${certificate.operations.length > 0 && html`<div class="scroll"><table class="plain-table"><thead><tr><th
      scope="col">Operation</th><th scope="col">Rule</th><th scope="col" class="right">Calls</th></tr></thead>
      <tbody>${certificate.operations.map((line, place) => html`<tr
        key=${place}><td>${line.operation}</td><td>${line.rule}</td><td
        class="right">${grouped(line.count)}</td></tr>`)}</tbody></table></div>`}
  <//>`;
}

function Computed({result}) {
  const {cost, settings} = result;
  const entries = Object.entries(settings || {});
  const cheap = cost && html`<span class="soft">${plural(cost.rows, "model row")} in ${seconds(cost.seconds)}</span>`;
  return html`<${Fold} title=${html`How it was computed ${cheap}`}>
    <dl class="settings">
      ${cost && html`<div><dt>Cost</dt><dd>${plural(cost.rows, "model row")}, ${plural(cost.calls, "call")}, ${seconds(cost.seconds)}</dd></div>`}
      ${isNumber(result.n_steps) && html`<div><dt>Steps</dt><dd>${grouped(result.n_steps)}</dd></div>`}
      ${entries.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd><code>${typeof value === "string" ? value : JSON.stringify(value)}</code></dd></div>`)}
    </dl>
  <//>`;
}

// What a screen reader hears when an answer is complete.
export function announcement(about, row, answer) {
  if (!row) return "";
  if (answer.phase === "failed") return `${row.name}: ${answer.error.message}`;
  if (answer.phase !== "done" || !answer.result) return "";
  const {prediction, result} = answer;
  const guess = prediction ? className(about, prediction.predicted) ?? prediction.value : null;
  return `${row.name}: ${guess === null ? "" : `predicted ${guess}. `}${result.title}: ${result.verdict.text}.`;
}
