// Keys, and how to read what is shown.
import {html, useEffect, useRef} from "./vendor/preact.js";

const KEYS = [
  ["j ↓ →", "next example"], ["k ↑ ←", "previous example"], ["f", "flag or unflag"], ["e", "edit the example"], ["c", "compare two explanations"],
  ["Esc", "cancel what runs, or leave editing"], ["?", "this help"],
];

export function Help({onClose, version, editable}) {
  const dialog = useRef(null);
  useEffect(() => {
    const back = dialog.current.getRootNode().activeElement;
    dialog.current.showModal();
    return () => back && back.focus && back.focus({preventScroll: true});
  }, []);
  const onClick = (event) => event.target === dialog.current && dialog.current.close();
  return html`<dialog ref=${dialog} class="help-dialog" aria-label="Help" onClose=${onClose} onClick=${onClick}
    onKeyDown=${(event) => event.stopPropagation()}>
    <div class="help-text">
      <button type="button" class="plain close" aria-label="Close" onClick=${() => dialog.current.close()}>×</button>
      <h2>How to read this</h2>
      <p><span class="swatch for"></span> <strong>Orange</strong> speaks for the explained output: that the input is as it is there raised it. <span class="swatch against"></span> <strong>Blue</strong> speaks against it. The stronger the colour or the longer the bar, the more. Point at a place, or reach it with the arrow keys, to read its value.</p>
      <p>Each map has a scale of its own unless “one scale” is chosen, so compare patterns between methods rather than shades.</p>
      <p>The <strong>check</strong> beside a map says whether its values keep what the method promises, such as to sum to the difference between the output for this input and for the baseline:</p>
      <p class="checks"><span class="check good"><span class="dot"></span>holds</span> <span class="check fair"><span
        class="dot"></span>read with care</span> <span class="check poor"><span
        class="dot"></span>do not trust single values</span> <span class="check none"><span
        class="dot"></span>nothing to check</span></p>
      <p>A map shows what this model reacted to, not what causes what in the world.</p>
      <h2>Keys</h2>
      <dl class="keys">${KEYS.filter(([key]) => editable || key !== "e").map(([key, text]) => html`<div
        key=${key}><dt>${key.split(" ").map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${text}</dd></div>`)}</dl>
      <p class="soft">Flags and notes are kept by this browser. Pellucid ${version}</p>
    </div>
  </dialog>`;
}
