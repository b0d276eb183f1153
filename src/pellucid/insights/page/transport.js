// Three ways to ask the desk: HTTP, a notebook's comm, and answers stored in the page.
// ask(route, body, {onEvent, signal}) resolves when the answer ends and rejects with an Error for the user.
import {canonical} from "./format.js";

export class AskError extends Error {
  constructor(message, retry = false) {
    super(message);
    this.retry = retry; // whether asking again may help
  }
}

export function isAbort(error) {
  return Boolean(error) && error.name === "AbortError";
}

function aborted() {
  return new DOMException("cancelled", "AbortError");
}

export function transportFrom(start, model) {
  if (start.transport === "widget") return widgetTransport(model);
  if (start.transport === "static" || start.static) return staticTransport(start.answers || {});
  return httpTransport(start.token);
}

const GONE = "No answer from Python. Is the process that shows this page still running?";
const STATUS = {
  401: "This page is no longer allowed to ask: open it again from the address that Python printed.",
  403: "This address is not allowed to ask: open the page from the address that Python printed.",
  404: "Python does not know this question: its version differs from that of this page. Reload the page.",
  413: "The question is too large to send: make fewer changes to the example.",
};

function httpTransport(token) {
  const ask = async (route, body, {onEvent, signal} = {}) => {
    const response = await reached(
      fetch(new URL(`api/${route}`, document.baseURI), {
        method: "POST",
        headers: {"Content-Type": "application/json", "X-Pellucid-Token": token || ""},
        body: JSON.stringify(body),
        signal,
        cache: "no-store",
        credentials: "same-origin",
      }),
    );
    if (!response.ok) throw new AskError(await refusal(response), response.status >= 500);
    await readLines(response.body.getReader(), onEvent || (() => {}));
  };
  return {kind: "http", ask};
}

async function reached(promise) {
  try {
    return await promise;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new AskError(GONE, true);
  }
}

async function refusal(response) {
  let message = "";
  try {
    message = (await response.json()).message || "";
  } catch {
    message = "";
  }
  const known = STATUS[response.status];
  if (response.status === 422 || !known) return message || `Python could not answer (status ${response.status}).`;
  return known;
}

async function readLines(reader, onEvent) {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const {value, done} = await reached(reader.read());
    rest += done ? decoder.decode() : decoder.decode(value, {stream: true});
    const lines = rest.split("\n");
    rest = lines.pop();
    if (done && rest.trim()) lines.push(rest);
    for (const line of lines) if (line.trim()) onEvent(parsed(line));
    if (done) return;
  }
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    throw new AskError("The answer broke off. Ask again.", true);
  }
}

function widgetTransport(model) {
  const open = new Map();
  let last = 1000 * Math.floor(Math.random() * 2 ** 40); // two views of one widget share its messages, not their numbers
  const hear = (message) => {
    const entry = message && open.get(message.id);
    if (!entry) return;
    if (message.event) entry.onEvent(message.event);
    if (message.failed !== undefined) entry.settle(new AskError(message.failed, true));
    else if (message.end) entry.settle(null);
  };
  model.on("msg:custom", hear);
  const ask = (route, body, {onEvent, signal} = {}) =>
    new Promise((resolve, reject) => {
      if (signal && signal.aborted) return reject(aborted());
      last += 1;
      const id = last;
      const stop = () => {
        send(model, {id, cancel: true});
        settle(aborted());
      };
      const settle = (error) => {
        open.delete(id);
        if (signal) signal.removeEventListener("abort", stop);
        if (error) reject(error);
        else resolve();
      };
      open.set(id, {onEvent: onEvent || (() => {}), settle});
      if (signal) signal.addEventListener("abort", stop);
      if (!send(model, {id, route, body})) settle(new AskError("The notebook's kernel is gone: run the cell again.", true));
      return undefined;
    });
  const close = () => {
    model.off("msg:custom", hear);
    for (const [id, entry] of [...open]) {
      send(model, {id, cancel: true});
      entry.settle(aborted());
    }
  };
  const flagged = {
    get: () => model.get("flagged") || [],
    set: (list) => {
      model.set("flagged", list);
      model.save_changes();
    },
    listen: (heard) => {
      model.on("change:flagged", heard);
      return () => model.off("change:flagged", heard);
    },
  };
  return {kind: "widget", ask, close, flagged};
}

function send(model, message) {
  try {
    model.send(message);
    return true;
  } catch {
    return false;
  }
}

function staticTransport(answers) {
  const pictures = new Map();
  for (const [key, events] of Object.entries(answers)) {
    if (!key.startsWith("thumbnails ")) continue;
    for (const event of events) for (const item of event.items || []) pictures.set(item.index, item);
  }
  const ask = async (route, body, {onEvent, signal} = {}) => {
    await Promise.resolve();
    if (signal && signal.aborted) throw aborted();
    const events =
      route === "thumbnails"
        ? [{kind: "thumbnails", items: body.examples.map((index) => pictures.get(index)).filter(Boolean)}]
        : answers[`${route} ${canonical(body)}`];
    if (!events) throw new AskError("This was not computed when the page was saved.");
    for (const event of events) if (onEvent) onEvent(event);
  };
  return {kind: "static", ask};
}
