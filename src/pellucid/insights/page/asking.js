// Asking as hooks: every answer carries the key of its question and is shown for no other one.
import {useEffect, useMemo, useRef, useState} from "./vendor/preact.js";
import {canonical} from "./format.js";
import {AskError, isAbort} from "./transport.js";

const REMEMBERED = 60;
const BLANK = {phase: "waiting", prediction: null, result: null, progress: null, error: null};

// What the model says depends on model, example and edits alone, so a change of the method keeps it.
function predictionKey(question) {
  return canonical([question.model, question.example, question.edits]);
}

export function unedited(question) {
  return question && {...question, edits: []};
}

export class Memory {
  constructor() {
    this.predictions = new Map();
  }

  get(question) {
    return question ? this.predictions.get(predictionKey(question)) || null : null;
  }

  put(question, prediction) {
    const key = predictionKey(question);
    this.predictions.delete(key);
    this.predictions.set(key, prediction);
    if (this.predictions.size > REMEMBERED) this.predictions.delete(this.predictions.keys().next().value);
  }
}

export function useAnswer(transport, {question, subject}, memory, delay) {
  const key = question ? canonical(question) : null;
  const [state, setState] = useState({...BLANK, key: null});
  const [attempt, setAttempt] = useState(0);
  const running = useRef(null);
  const wait = useRef(delay);
  wait.current = delay;
  useEffect(() => {
    if (!key) return undefined;
    const job = explaining(transport, question, memory, (change) => setState({...change, key, attempt}));
    running.current = job;
    const timer = setTimeout(job.begin, wait.current);
    return () => {
      clearTimeout(timer);
      job.drop();
    };
  }, [key, attempt, transport]);
  const own = key !== null && state.key === key && state.attempt === attempt ? state : {...BLANK, prediction: memory.get(subject)};
  return {
    ...own,
    phase: key === null ? "idle" : own.phase,
    key,
    busy: key !== null && (own.phase === "waiting" || own.phase === "running"),
    cancel: () => running.current && running.current.cancel(),
    retry: () => setAttempt((count) => count + 1),
  };
}

function explaining(transport, question, memory, publish) {
  const controller = new AbortController();
  let live = true;
  let state = {...BLANK, prediction: memory.get(question)};
  const show = (change) => {
    if (!live) return;
    state = {...state, ...change};
    publish(state);
  };
  const onEvent = (event) => {
    if (event.kind === "prediction") {
      memory.put(question, event);
      show({prediction: event, phase: "running"});
    } else if (event.kind === "progress") show({progress: event, phase: "running"});
    else if (event.kind === "result") show({result: event, phase: "done", progress: null});
    else if (event.kind === "error") show({phase: "failed", error: event, progress: null});
  };
  const begin = async () => {
    if (!live) return;
    show({phase: "running"});
    try {
      await transport.ask("explain", question, {onEvent, signal: controller.signal});
      if (live && state.phase === "running") throw new AskError("The answer ended before it was complete.", true);
    } catch (error) {
      if (isAbort(error)) show({phase: "cancelled", progress: null});
      else show({phase: "failed", progress: null, error: {message: error.message, source: "desk", retry: error.retry}});
    }
  };
  const drop = () => {
    live = false;
    controller.abort();
  };
  const cancel = () => {
    if (state.phase === "done" || state.phase === "failed") return;
    show({phase: "cancelled", progress: null});
    drop();
  };
  return {begin, drop, cancel};
}

export function useAbout(transport) {
  const [attempt, setAttempt] = useState(0);
  const [state, setState] = useState({about: null, error: null});
  useEffect(() => {
    const controller = new AbortController();
    let about = null;
    const onEvent = (event) => {
      if (event.kind === "about") about = event;
      if (event.kind === "error") throw new AskError(event.message, true);
    };
    transport
      .ask("about", {}, {onEvent, signal: controller.signal})
      .then(() => {
        if (!about) throw new AskError("Python did not say what this page is about.", true);
        setState({about, error: null});
      })
      .catch((error) => isAbort(error) || setState({about: null, error}));
    return () => controller.abort();
  }, [transport, attempt]);
  const retry = () => {
    setState({about: null, error: null});
    setAttempt(attempt + 1);
  };
  return {...state, retry};
}

// Predictions stream in; the page is redrawn at most once per frame.
export function usePredictions(transport, model) {
  const [, redraw] = useState(0);
  const [attempt, setAttempt] = useState(0);
  const held = useRef({model: null});
  if (held.current.model !== model) held.current = emptyPredictions(model);
  useEffect(() => {
    const controller = new AbortController();
    const store = emptyPredictions(model);
    held.current = store;
    const later = onceAFrame(() => redraw((count) => count + 1));
    const onEvent = (event) => {
      if (event.kind === "predictions") {
        for (const row of event.rows) store.rows[row.index] = row;
        store.count += event.rows.length;
        store.total = event.total ?? store.total;
      } else if (event.kind === "done") Object.assign(store, {total: event.total, notes: event.notes || []});
      else if (event.kind === "error") throw new AskError(event.message, true);
      else if (event.kind !== "progress") return;
      store.version += 1;
      later();
    };
    transport
      .ask("predictions", {model}, {onEvent, signal: controller.signal})
      .catch((error) => (isAbort(error) ? null : (store.error = error)))
      .then(() => {
        store.complete = true;
        store.version += 1;
        later();
      });
    return () => controller.abort();
  }, [transport, model, attempt]);
  return {...held.current, retry: () => setAttempt((count) => count + 1)};
}

function emptyPredictions(model) {
  return {model, rows: [], count: 0, total: null, notes: [], complete: false, error: null, version: 0};
}

function onceAFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

const BATCH = 60;
const PICTURES = 4000;

// Small pictures of the rows in view, asked for a screenful at a time and then kept.
export function useThumbnails(transport) {
  const [version, setVersion] = useState(0);
  const store = useMemo(() => ({known: new Map(), asked: new Set(), timer: null}), [transport]);
  useEffect(() => () => clearTimeout(store.timer), [store]);
  const want = (indices) => {
    clearTimeout(store.timer);
    const missing = indices.filter((index) => !store.known.has(index) && !store.asked.has(index)).slice(0, 200);
    if (!missing.length) return;
    store.timer = setTimeout(() => {
      for (let at = 0; at < missing.length; at += BATCH) fetchBatch(missing.slice(at, at + BATCH));
    }, 60);
  };
  const fetchBatch = (examples) => {
    for (const index of examples) store.asked.add(index);
    const onEvent = (event) => {
      for (const item of event.items || []) store.known.set(item.index, item.parts);
      while (store.known.size > PICTURES) store.known.delete(store.known.keys().next().value);
    };
    transport
      .ask("thumbnails", {examples}, {onEvent})
      .catch(() => null) // a row without a picture is still a row; it is asked for again when next in view
      .then(() => {
        for (const index of examples) store.asked.delete(index);
        setVersion((count) => count + 1);
      });
  };
  return {known: store.known, want, version};
}
