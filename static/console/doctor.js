// The doctor's page: run the checks without a reload, and copy what is to be pasted elsewhere.

import { copy } from "./actions.js";
import { Refused, send, wordsOf } from "./net.js";
import { refresh } from "./times.js";
import { announce, toast } from "./toast.js";
import { gettext } from "./words.js";

const form = document.getElementById("doctor-form");
const button = form.querySelector("button");
const label = form.querySelector("[data-run-text]");
const report = document.getElementById("doctor-report");
let running = false;

function busy(yes) {
  running = yes;
  button.setAttribute("aria-busy", String(yes));
  report.setAttribute("aria-busy", String(yes));
  label.textContent = yes ? gettext("Asking the network…") : gettext("Run the checks");
}

async function run() {
  busy(true);
  try {
    const answer = await send(form.action, { method: "POST" });
    if (!answer.ok) {
      toast(await wordsOf(answer), "bad");
      return;
    }
    const opened = new Set([...report.querySelectorAll("details[open] pre")].map((text) => text.id));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    report.replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
    for (const text of report.querySelectorAll("details pre")) text.closest("details").open = opened.has(text.id);
    refresh(report);
    announce(report.querySelector("[data-sum]").textContent);
  } catch (error) {
    if (error instanceof TypeError) toast(gettext("The server cannot be reached. Try again."), "bad");
    else if (!(error instanceof Refused)) throw error;
  } finally {
    busy(false);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) run();
});

report.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-act=copy-text]");
  if (pressed) copy(document.getElementById(pressed.dataset.from).textContent, pressed.dataset.what);
});

refresh();
