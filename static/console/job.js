// The page of one job: looked at once a second while it is open and on the screen, now and then when it is over, and its
// buttons.

import { show } from "./live.js";
import { Refused, send, wordsOf } from "./net.js";
import { parse, remember, swapContent } from "./swap.js";
import { refresh } from "./times.js";
import { announce, toast } from "./toast.js";
import { gettext } from "./words.js";

const EVERY_MS = 1000;
const OVER_EVERY_MS = 5000; // somebody may confirm the address of a phone that it held back
const here = document.getElementById("job-live");
let asking = false;
let away = false;
let ended = false;
let lookedAt = -Infinity;
let pressing = false; // a button that is being pressed must be there still when it is let go
let doing = false;

const PARTS = ["job-state", "job-who", "job-buttons", "job-facts", "job-withheld", "job-failures", "job-troubles"];
const job = () => document.getElementById("job");

function put(html) {
  const page = parse(html);
  const fresh = page.getElementById("job");
  if (!fresh) return;
  const before = job().dataset.state;
  for (const name of ["state", "open"]) job().dataset[name] = fresh.dataset[name];
  job().toggleAttribute("data-withheld", "withheld" in fresh.dataset);
  for (const id of PARTS) swapContent(document.getElementById(id), page.getElementById(id));
  if (job().dataset.state !== before) announce(job().querySelector("[data-words]").lastChild.textContent.trim());
}

async function look() {
  if (asking || ended || document.hidden) return;
  if (job().dataset.open !== "yes" && performance.now() - lookedAt < OVER_EVERY_MS) return;
  asking = true;
  lookedAt = performance.now();
  try {
    const answer = await send(here.dataset.liveUrl);
    const html = answer.ok ? await answer.text() : "";
    if (html && !pressing && !doing) put(html);
    show(answer.ok ? "live" : "reconnecting");
    away = false;
  } catch (error) {
    if (error instanceof TypeError) {
      if (!away) toast(gettext("The server cannot be reached. The job goes on; this page tries again."), "bad");
      away = true;
      show("reconnecting");
    } else if (error instanceof Refused) {
      ended = true;
      show("ended");
    } else throw error;
  } finally {
    asking = false;
  }
}

here.addEventListener("submit", async (event) => {
  event.preventDefault();
  const pressed = event.submitter;
  doing = true;
  try {
    const answer = await send(pressed.formAction, { method: "POST", body: new URLSearchParams() });
    if (answer.ok) put(await answer.text());
    else toast(await wordsOf(answer), "bad");
  } catch (error) {
    if (error instanceof TypeError) toast(gettext("The server cannot be reached. Nothing was done; try again."), "bad");
    else if (!(error instanceof Refused)) throw error;
  } finally {
    doing = false;
  }
});

here.addEventListener("pointerdown", () => { pressing = true; });
for (const end of ["pointerup", "pointercancel"]) {
  window.addEventListener(end, () => setTimeout(() => { pressing = false; })); // the click comes after it
}

remember(document);
refresh();
look();
document.addEventListener("visibilitychange", look);
setInterval(look, EVERY_MS);
