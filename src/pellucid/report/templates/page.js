"use strict";
const press = (button, on) => button.setAttribute("aria-pressed", String(on));
const buttons = document.querySelectorAll("[data-show]");
for (const button of buttons) {
  button.addEventListener("click", () => {
    const wanted = button.dataset.show;
    let shown = 0;
    for (const other of buttons) press(other, other === button);
    for (const card of document.querySelectorAll(".card")) {
      card.hidden = wanted !== "all" && card.dataset.state !== wanted;
      if (!card.hidden) shown += 1;
    }
    document.querySelector(".empty").hidden = shown > 0;
  });
}
for (const button of document.querySelectorAll("[data-toggle]")) {
  button.addEventListener("click", () => {
    const off = document.body.classList.toggle("no-" + button.dataset.toggle);
    press(button, !off);
  });
}
