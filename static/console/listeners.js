// The page of listeners: fetched again each few seconds, because heartbeats make no event; forgetting one is asked.

import { confirmed } from "./actions.js";
import { debounced, follow } from "./live.js";
import { Refused, send } from "./net.js";
import { parse, remember, swapContent } from "./swap.js";
import { refresh } from "./times.js";
import { announce } from "./toast.js";
import { gettext } from "./words.js";

const REFRESH_MS = 500;
const BEAT_MS = 5000;
const here = document.getElementById("listeners");
// Which listeners there are and how they stand: while that is the same only what they count is replaced, so that nobody's
// click falls between.
const standing = (root) => JSON.stringify([...root.querySelectorAll("[data-listener]")].map((one) => [one.dataset.listener, one.dataset.state, one.querySelectorAll("details").length]));

async function fetchPart() {
  try {
    const answer = await send(here.dataset.liveUrl);
    if (!answer.ok) return;
    const page = parse(await answer.text());
    if (standing(page) === standing(here)) {
      for (const fresh of page.querySelectorAll("[data-part]")) swapContent(document.getElementById(fresh.id), fresh);
      return;
    }
    for (const one of page.querySelectorAll("details")) one.open = document.getElementById(one.id)?.open ?? false;
    swapContent(document.getElementById("listeners-all"), page.getElementById("listeners-all"));
    const silent = [...here.querySelectorAll("[data-state=away] h3")].map((one) => one.textContent).join(", ");
    if (silent) announce(gettext("Silent: {names}", { names: silent }));
  } catch (error) {
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  }
}

const update = debounced(fetchPart, REFRESH_MS);

here.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-forget]");
  if (!form) return;
  event.preventDefault();
  const name = form.elements.name.value;
  const text = gettext("{name} is taken from this page, and its alarm ends. Phones that it heard are told by another listener that reaches them, or by the next one that hears them.", { name });
  if (await confirmed(gettext("Forget this listener?"), text, gettext("Forget"))) form.submit();
});

remember(document);
refresh();
follow({ onEvents: update, onPoll: update });
setInterval(() => { if (!document.hidden) update(); }, BEAT_MS);
