// The page of one job: looked at once a second while it is open and on the screen, and its buttons.

import { Refused, send, wordsOf } from "./net.js";
import { refresh } from "./times.js";
import { announce, toast } from "./toast.js";
import { gettext } from "./words.js";

const EVERY_MS = 1000;
const here = document.getElementById("job-live");
let asking = false;
let away = false;

const job = () => document.getElementById("job");

function put(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  if (!page.getElementById("job")) return;
  const key = here.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const before = job().dataset.state;
  here.replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
  refresh(here);
  if (key) here.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true });
  if (job().dataset.state !== before) announce(job().querySelector("[data-words]").lastChild.textContent.trim());
}

async function look() {
  if (asking || document.hidden || job().dataset.open !== "yes") return;
  asking = true;
  try {
    const answer = await send(here.dataset.liveUrl);
    if (answer.ok) put(await answer.text());
    away = false;
  } catch (error) {
    if (error instanceof TypeError) {
      if (!away) toast(gettext("The server cannot be reached. The job goes on; this page tries again."), "bad");
      away = true;
    } else if (!(error instanceof Refused)) throw error;
  } finally {
    asking = false;
  }
}

here.addEventListener("submit", async (event) => {
  event.preventDefault();
  const pressed = event.submitter;
  try {
    const answer = await send(pressed.formAction, { method: "POST", body: new URLSearchParams() });
    if (answer.ok) put(await answer.text());
    else toast(await wordsOf(answer), "bad");
  } catch (error) {
    if (error instanceof TypeError) toast(gettext("The server cannot be reached. Nothing was done; try again."), "bad");
    else if (!(error instanceof Refused)) throw error;
  }
});

refresh();
setInterval(look, EVERY_MS);
