// What a panel asks: model, method, target, layer, and the method's arguments.
import {html, useMemo, useState} from "./vendor/preact.js";
import {freshId, plural, words} from "./format.js";
import {choices, draftsOf, methodOf, possible, targetName, withDraft} from "./settings.js";
import {Picker} from "./picker.js";

export function Controls({about, settings, onSettings, row, problem}) {
  const method = methodOf(about, settings);
  const set = (change) => onSettings(possible(about, {...settings, ...change}));
  const models = choices(about, settings, "model");
  const methods = choices(about, settings, "method");
  const layers = (about.models[settings.model] || {layers: []}).layers;
  const layered = !about.static && method.scope !== "input" && layers.length > 0;
  const [open, setOpen] = useState(false);
  const changed = Object.keys(draftsOf(settings)).length;
  const adjustable = !about.static && method.arguments.length > 0;
  return html`<div class="controls">
    <div class="asks">
      ${about.models.length > 1 && html`<${Choice} label="Model" value=${settings.model}
        options=${models.map((index) => [index, about.models[index].name])}
        onChange=${(value) => set({model: Number(value)})} />`}
      <${Choice} label="Method" value=${method.name} options=${methods.map((name) => methodEntry(about, name))}
        onChange=${(value) => set({method: value})} />
      ${about.classes.length > 0 && html`<${Target} about=${about} settings=${settings} row=${row}
        onChange=${(target) => set({target})} />`}
      ${layered && html`<${Choice} label="Layer" value=${settings.layer ?? ""}
        wrong=${method.scope === "layer" && settings.layer === null}
        options=${[["", method.scope === "both" ? "input" : "choose a layer"], ...layers.map((name) => [name, name])]}
        onChange=${(value) => set({layer: value === "" ? null : value})} />`}
      ${adjustable && html`<button type="button" class="toggle" aria-expanded=${String(open)}
        onClick=${() => setOpen(!open)}>Arguments${changed > 0 && html` <b class="count">${changed}<span
        class="sr"> changed</span></b>`}</button>`}
    </div>
    <p class="summary">${method.summary}</p>
    ${adjustable && open && html`<${Arguments} method=${method} settings=${settings} onSettings=${onSettings} />`}
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
  </div>`;
}

function methodEntry(about, name) {
  const {title, scope} = about.methods.find((one) => one.name === name) || {title: name, scope: "input"};
  return [name, title, scope === "layer" ? "At a layer" : "Of the input"];
}

// Options [value, name, group]; groups appear where there are several.
export function Choice({label, value, options, onChange, wrong = false}) {
  const names = options.map((pair) => pair[1]);
  const groups = [...new Set(options.map((pair) => pair[2]))];
  const entry = ([key, name]) => html`<option key=${key} value=${key} selected=${key === value}>${name}</option>`;
  const id = useMemo(() => freshId("choice"), []);
  return html`<div class="field"><label class="label" for=${id}>${label}</label>
    <select id=${id} aria-invalid=${wrong ? "true" : undefined} disabled=${options.length < 2}
      title=${names[options.findIndex((pair) => pair[0] === value)]} onChange=${(event) => onChange(event.target.value)}>
      ${groups.length < 2 ? options.map(entry) : groups.map((group) => html`<optgroup key=${group}
        label=${group}>${options.filter((pair) => pair[2] === group).map(entry)}</optgroup>`)}
    </select></div>`;
}

function Target({about, settings, row, onChange}) {
  const allowed = choices(about, settings, "target");
  const labelled = !row || row.label !== null;
  const options = useMemo(() => {
    const general = ["predicted", ...(labelled || settings.target === "label" ? ["label"] : [])];
    const everything = [...general, ...about.classes.map((_, index) => index)];
    return (allowed || everything).map((value) => ({value, name: targetName(about, value)}));
  }, [about, labelled, settings.target, allowed && allowed.join(" ")]);
  return html`<${Picker} label="Explained output" options=${options} chosen=${settings.target} onChange=${onChange}
    disabled=${options.length < 2} />`;
}

function Arguments({method, settings, onSettings}) {
  const drafts = draftsOf(settings);
  const changed = Object.keys(drafts).length;
  return html`<fieldset class="arguments"><legend>Arguments of ${method.title}</legend>
    ${method.arguments.map((control) => html`<${Argument} key=${`${method.name} ${control.name}`} control=${control}
      draft=${drafts[control.name]} onDraft=${(draft) => onSettings(withDraft(settings, control.name, draft))} />`)}
    <p class="reset"><button type="button" class="plain" disabled=${!changed}
      onClick=${() => onSettings({...settings, drafts: {...settings.drafts, [method.name]: {}}})}>Reset ${changed ? plural(changed, "argument") : "arguments"}</button></p>
  </fieldset>`;
}

function textOf(control, value) {
  if (value === null || value === undefined) return "";
  return control.kind === "json" && typeof value !== "string" ? JSON.stringify(value) : String(value);
}

// Read what was typed: {value} or {error}. Nothing typed means null where null is allowed, else the default.
function readArgument(control, text) {
  const bare = text.trim();
  if (bare === "") return control.optional ? {value: null} : {value: control.default ?? null, missing: true};
  if (control.kind === "json") {
    try {
      return {value: JSON.parse(bare)};
    } catch {
      if (/^[a-z_]\w*$/i.test(bare)) return {value: bare}; // a word, such as auto
      return {error: "it is no number, word or list, such as 3, auto or [3, 8, 8]"};
    }
  }
  const value = Number(bare.replace("\u2212", "-"));
  if (!Number.isFinite(value)) return {error: "it is not a number"};
  if (control.kind === "integer" && !Number.isSafeInteger(value)) return {error: "it is not a whole number"};
  if (control.minimum !== null && control.minimum !== undefined && value < control.minimum) return {error: `the least is ${control.minimum}`};
  return {value};
}

function Argument({control, draft, onDraft}) {
  const id = useMemo(() => freshId("argument"), []);
  const value = draft ? draft.value : control.default;
  const text = draft && draft.text !== undefined ? draft.text : textOf(control, value);
  const put = (next, typed) => {
    const same = !next.error && (next.missing || JSON.stringify(next.value) === JSON.stringify(control.default));
    onDraft(same && (!next.missing || typed === "") ? null : {...next, text: typed});
  };
  const common = {id, "aria-describedby": `${id}-help`, "aria-invalid": draft && draft.error ? "true" : undefined};
  return html`<div class=${words(["argument", draft && "changed"])}>
    <label for=${id}>${control.name}</label>
    <${ArgumentField} control=${control} value=${value} text=${text} common=${common} put=${put} />
    <button type="button" class="plain back" disabled=${!draft} title="Back to the default" aria-label=${`Reset ${control.name}`}
      onClick=${() => onDraft(null)}>↺</button>
    <p class="help" id=${`${id}-help`}>${draft && draft.error ? html`<span
      class="problem">${draft.error}. </span>` : ""}${control.help}</p>
  </div>`;
}

function ArgumentField({control, value, text, common, put}) {
  const simple = control.kind === "choice" || (control.kind === "boolean" && control.optional);
  if (simple) {
    const options = control.kind === "boolean" ? [true, false] : control.choices || [];
    const everything = control.optional ? [null, ...options.filter((one) => one !== null)] : options;
    const at = everything.findIndex((one) => JSON.stringify(one) === JSON.stringify(value));
    const pick = (event) => put({value: everything[Number(event.target.value)]});
    return html`<select ...${common} onChange=${pick}>${everything.map((one, index) => html`<option key=${index} value=${index}
      selected=${index === at}>${one === null ? "none" : String(one)}</option>`)}</select>`;
  }
  if (control.kind === "boolean") {
    return html`<input type="checkbox" ...${common} checked=${Boolean(value)}
      onChange=${(event) => put({value: event.target.checked})} />`;
  }
  const typed = (event) => put(readArgument(control, event.target.value), event.target.value);
  const hint = control.optional ? "none" : textOf(control, control.default);
  return html`<input type="text" inputmode=${control.kind === "json" ? undefined : "decimal"} spellcheck="false"
    autocomplete="off" ...${common} value=${text} placeholder=${hint} onInput=${typed} />`;
}
