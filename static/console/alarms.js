// The page of alarms: what is open and what is over, fetched again when something happened; an alarm is dismissed at once.

import { perform } from "./actions.js";
import { debounced, follow } from "./live.js";
import { Refused, send } from "./net.js";
import { parse, remember, swapContent } from "./swap.js";
import { refresh } from "./times.js";
import { announce } from "./toast.js";

const REFRESH_MS = 500;
const COUNTS_MS = 10000; // counts grow without an event
const here = document.getElementById("alarms");
const told = () => new Set([...here.querySelectorAll("[data-alarm]")].map((one) => one.dataset.alarm));

async function fetchParts() {
  try {
    const answer = await send(here.dataset.liveUrl);
    if (!answer.ok) return;
    const page = parse(await answer.text());
    const before = told();
    for (const fresh of page.querySelectorAll("[data-part]")) swapContent(document.getElementById(fresh.id), fresh);
    const fresh = [...here.querySelectorAll("[data-alarm]")].find((one) => !before.has(one.dataset.alarm));
    if (fresh) announce(fresh.querySelector(".gs-grow").textContent.trim());
  } catch (error) {
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  }
}

const update = debounced(fetchParts, REFRESH_MS);

here.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-act=dismiss]");
  if (!button) return;
  button.disabled = true;
  if (await perform("dismiss", "", button.dataset.url)) {
    await fetchParts();
    (here.querySelector("[data-act=dismiss]") ?? document.getElementById("decoy-count"))?.focus();
  } else button.disabled = false;
});

remember(document);
refresh();
follow({ onEvents: update, onPoll: update });
setInterval(() => { if (!document.hidden) update(); }, COUNTS_MS);
