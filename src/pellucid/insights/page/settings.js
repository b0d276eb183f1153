// The settings of one panel, and the question that they ask.
import {isNumber} from "./format.js";

export function firstSettings(about) {
  const {defaults} = about;
  const allowed = about.static && about.precomputed && about.precomputed[0];
  const first = allowed || {model: defaults.model, method: defaults.method, target: defaults.target};
  return {model: first.model, method: first.method, target: first.target, layer: null, drafts: about.static ? {} : firstDrafts(defaults)};
}

// Arguments that Python chose for the first method; a static page was computed with them and sends none.
function firstDrafts({method, arguments: given}) {
  return {[method]: Object.fromEntries(Object.entries(given || {}).map(([name, value]) => [name, {value}]))};
}

export function methodOf(about, settings) {
  return about.methods.find((method) => method.name === settings.method) || about.methods[0];
}

// What a static page can be asked: the choices that remain for one setting, given those before it.
export function choices(about, settings, key) {
  const everything = {
    model: about.models.map((_, index) => index),
    method: about.methods.map((method) => method.name),
    target: null,
  };
  if (!about.static || !about.precomputed) return everything[key];
  const order = ["model", "method", "target"];
  const before = order.slice(0, order.indexOf(key));
  const fits = about.precomputed.filter((one) => before.every((name) => one[name] === settings[name]));
  return [...new Set(fits.map((one) => one[key]))];
}

// Settings that a static page holds an answer for, as near as possible to those wanted.
export function possible(about, settings) {
  let result = settings;
  for (const key of ["model", "method", "target"]) {
    const left = choices(about, result, key);
    if (left && !left.includes(result[key]) && left.length) result = {...result, [key]: left[0]};
  }
  return result;
}

export function draftsOf(settings) {
  return settings.drafts[settings.method] || {};
}

export function withDraft(settings, name, draft) {
  const drafts = {...draftsOf(settings)};
  if (draft === null) delete drafts[name];
  else drafts[name] = draft;
  return {...settings, drafts: {...settings.drafts, [settings.method]: drafts}};
}

// Returns what is asked about (model, example, edits) and {question} or, where something is missing or wrong, {problem}.
export function questionOf(about, settings, example, edits) {
  if (!isNumber(example)) return {question: null, problem: null, subject: null};
  return {...checkedQuestion(about, settings, example, edits), subject: {model: settings.model, example, edits}};
}

function checkedQuestion(about, settings, example, edits) {
  const method = methodOf(about, settings);
  if (!method) return {question: null, problem: "There is no method to explain with."};
  const model = about.models[settings.model];
  const layers = (model && model.layers) || [];
  const layer = method.scope === "input" || !layers.includes(settings.layer) ? null : settings.layer;
  if (method.scope === "layer" && layer === null) {
    return {question: null, problem: "This method explains at a layer: choose one."};
  }
  const given = {};
  for (const [name, draft] of Object.entries(draftsOf(settings))) {
    if (draft.error) return {question: null, problem: `Correct the argument ${name}: ${draft.error}.`};
    given[name] = draft.value;
  }
  const {model: index, target} = settings;
  return {question: {model: index, example, method: method.name, arguments: given, target, layer, edits}, problem: null};
}

export function className(about, index) {
  return isNumber(index) ? about.classes[index] ?? String(index) : null;
}

export function targetName(about, target) {
  if (target === "label") return "true label";
  if (target === "predicted") return "predicted class";
  return className(about, target);
}
