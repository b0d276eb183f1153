// Files of an explanation, made by Python or, in a saved page, by the page itself.
import {isNumber} from "./format.js";
import {bytesOf, saveFile} from "./flags.js";

const FORMS = {
  png: ["Figure (PNG)", "for slides"], svg: ["Figure (SVG)", "for print"],
  safetensors: ["Attribution (safetensors)", "full precision, for Python"], json: ["Attribution (JSON)", "with settings and check"],
};

export function exportItems({about, transport, row, asked, answers, notify}) {
  const items = [];
  answers.forEach((answer, at) => {
    if (!answer.result || !asked[at]) return;
    const which = asked.length > 1 ? ` of ${"AB"[at]}` : "";
    for (const form of about.forms) {
      const [title, hint] = FORMS[form] || [form, ""];
      const act = about.static ? () => saveAnswer(row, asked[at].question, answer) : () => fetchFile({transport, question: asked[at].question, form, notify});
      items.push({title: `${title}${which}`, hint, act});
    }
  });
  return items;
}

async function fetchFile({transport, question, form, notify}) {
  notify({text: `Making the ${form} file…`});
  let file = null;
  let failure = null;
  const onEvent = (event) => {
    if (event.kind === "file") file = event;
    else if (event.kind === "error") failure = event.message;
    else if (event.kind === "progress") {
      const share = isNumber(event.total) && event.total > 0 ? ` ${Math.round((100 * event.done) / event.total)} %` : "";
      notify({text: `${event.text || `Making the ${form} file`}${share}…`});
    }
  };
  try {
    await transport.ask("export", {question, form}, {onEvent});
    if (failure || !file) throw new Error(failure || "Python sent no file.");
    saveFile(file.name, bytesOf(file.base64), file.type);
    notify({text: `Saved ${file.name}.`});
  } catch (error) {
    notify({text: `No file was saved: ${error.message}`, bad: true});
  }
}

function saveAnswer(row, question, {prediction, result}) {
  const name = `${row.name.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 80) || row.index}-${question.method}.json`;
  saveFile(name, JSON.stringify({question, prediction, result}, null, 1), "application/json");
}
