// Where the page begins: in a notebook through `render`, in a page of its own by itself.
import {html, render} from "./vendor/preact.js";
import {App} from "./app.js";
import {transportFrom} from "./transport.js";

export function mount(place, start, model) {
  const root = document.createElement("div");
  const wide = start.transport !== "widget";
  root.className = wide ? "pellucid-insights" : "pellucid-insights in-notebook";
  root.tabIndex = -1;
  root.dataset.lmSuppressShortcuts = "true"; // keys pressed in here are not JupyterLab's
  place.append(root);
  const transport = transportFrom(start, model);
  render(html`<${App} transport=${transport} root=${root} wide=${wide} />`, root);
  return () => {
    render(null, root);
    if (transport.close) transport.close();
    root.remove();
  };
}

export function mountPage() {
  const start = typeof document === "undefined" ? null : document.getElementById("pellucid-start");
  const place = start && document.getElementById("pellucid");
  if (place && !place.childElementCount) mount(place, JSON.parse(start.textContent), null);
}
