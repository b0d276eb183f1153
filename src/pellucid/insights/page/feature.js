// One input of the example with its attribution, whatever kind it is of.
import {html, useMemo} from "./vendor/preact.js";
import {cellsOf, discCells, tokensOf} from "./edits.js";
import {unknowns} from "./colour.js";
import {plural, words} from "./format.js";
import {ImageInput, ImageMap} from "./image.js";
import {SeriesFeature} from "./series.js";
import {TableFeature} from "./table.js";
import {TextFeature} from "./text.js";

const NO_CELLS = new Map();

export function FeatureView({feature, name, view, base, map, limit, waiting, tools, editor, titled}) {
  const kind = view ? view.kind : map.kind;
  const figure = map && map.kind === "figure" ? map : null;
  const own = map && (!view || map.kind === view.kind) && map.kind !== "empty" ? map : null;
  const lost = useMemo(() => (own && own.values ? unknowns(own.values.flat()) : 0), [own]);
  if (kind === "empty") {
    return titled ? html`<section class="feature"><h4>${name}</h4><p class="soft">This input is not shown.</p></section>` : null;
  }
  const View = VIEWS[kind];
  return html`<section class=${`feature of-${kind}`} aria-label=${name}>
    ${titled && html`<h4 class="cut" title=${name}>${name}</h4>`}
    ${View && html`<${View} feature=${feature} name=${name} view=${view} base=${base} map=${own} limit=${limit}
      waiting=${waiting} tools=${tools} editor=${editor} figure=${figure} />`}
    ${figure && kind !== "image" && html`<${FigureMap} map=${figure} />`}
    ${lost > 0 && html`<p class="scale">${plural(lost, "value is not a number", "values are not numbers")}${kind === "table" || kind === "text" ? "" : " (grey)"}</p>`}
  </section>`;
}

export function FigureMap({map}) {
  return html`<img class="figure" src=${map.uri} alt=${map.alt} />`;
}

function changedCells(editor, feature) {
  return editor.strokes.length ? cellsOf(editor.strokes, feature) : NO_CELLS;
}

// While painting, the original stays beneath and the changed pixels lie on it, so that nothing flickers.
function ImageView({figure, feature, name, view, base, map, limit, waiting, tools, editor}) {
  if (!view) return html`<div class="pair"><${MapFigure} name=${name} feature=${feature} view=${null} map=${map} limit=${limit}
    waiting=${waiting} tools=${tools} /></div>`;
  const cells = changedCells(editor, feature);
  const onPaint = ({shape, from, to, grow}) => {
    const stroke = new Map();
    const length = Math.max(Math.abs(to.row - from.row), Math.abs(to.column - from.column), 1);
    const values = editor.paintValues(view);
    const dabs = Math.ceil(length / Math.max(1, editor.brush / 4));
    for (let at = 0; at <= dabs; at += 1) {
      const row = Math.round(from.row + ((to.row - from.row) * at) / dabs);
      const column = Math.round(from.column + ((to.column - from.column) * at) / dabs);
      for (const [cell, value] of discCells(shape, row, column, editor.brush, values)) stroke.set(cell, value);
    }
    editor.stroke({feature, cells: stroke}, grow);
  };
  return html`<div class="pair">
    <figure><figcaption>Input</figcaption>
      <${ImageInput} feature=${feature} view=${cells.size && base ? {...view, uri: base.uri} : view} cells=${cells}
        editing=${editor.on} onPaint=${onPaint} cursor=${tools.cursor} />
      <p class="scale">${editor.on && view.editable ? "draw with the pointer, or with arrow keys and space" : `${view.shape[2]} × ${view.shape[1]}${view.shape[0] > 1 ? ` × ${view.shape[0]} channels` : ""}`}</p></figure>
    ${figure
      ? html`<figure><figcaption>Attribution</figcaption><${FigureMap} map=${figure} /></figure>`
      : html`<${MapFigure} name=${name} feature=${feature} view=${view} map=${map} limit=${limit} waiting=${waiting}
        tools=${tools} />`}
  </div>`;
}

function MapFigure({name, feature, view, map, limit, waiting, tools}) {
  if (!map && !waiting) return null;
  return html`<figure aria-busy=${String(!map)}><figcaption>Attribution</figcaption>
    ${map
      ? html`<${ImageMap} feature=${feature} name=${name} view=${view} map=${map} limit=${limit} under=${tools.under}
        cursor=${tools.cursor} />`
      : html`<div class=${words(["map waiting-map", Math.max(view.shape[1], view.shape[2]) < 128 && "pixels"])}
        style=${{aspectRatio: `${view.shape[2]} / ${view.shape[1]}`, maxWidth: "400px"}}><img class="under" src=${view.uri}
        alt="" /></div><p class="scale">\u00a0</p>`}
  </figure>`;
}

function TextView({feature, view, base, map, limit, editor}) {
  return html`<${TextFeature} view=${view} base=${base} map=${map} limit=${limit} editing=${editor.on && view.editable}
    changes=${tokensOf(editor.strokes, feature)}
    onToken=${(token, text) => editor.stroke({feature, token, text}, false)} />`;
}

function TableView({feature, view, map, limit, waiting, editor}) {
  return html`<${TableFeature} waiting=${waiting} view=${view} map=${map} limit=${limit} editing=${editor.on}
    changes=${changedCells(editor, feature)}
    onCell=${(place, value, grow) => editor.stroke({feature, cells: new Map([[place, value]])}, grow)} />`;
}

function SeriesView({feature, view, base, map, limit, tools, editor}) {
  const own = base && base.values.length === view.values.length && base.values[0].length === view.values[0].length ? base : view;
  return html`<${SeriesFeature} feature=${feature} view=${own} map=${map} limit=${limit} editing=${editor.on}
    changes=${changedCells(editor, feature)} cursor=${tools.cursor}
    onDraw=${(cells, grow) => editor.stroke({feature, cells}, grow)} />`;
}

const VIEWS = {image: ImageView, text: TextView, table: TableView, series: SeriesView};

