// The page of one phone: what changes by itself is fetched again when something happened to it.

import { copy, perform } from "./actions.js";
import { openDrawer, prepareDrawer } from "./drawer.js";
import { hush, putAside } from "./hush.js";
import { debounced, follow } from "./live.js";
import { Refused, send } from "./net.js";
import { parse, remember, swapContent } from "./swap.js";
import { refresh } from "./times.js";
import { announce } from "./toast.js";
import { gettext } from "./words.js";

const REFRESH_MS = 150;
const LISTENER_MS = 10000;
const PARTS = ["phone-head", "phone-notices", "phone-way", "phone-commands", "phone-timeline", "phone-side"];
const here = document.getElementById("phone");
let gone = false;

async function fetchParts() {
  if (gone) return;
  try {
    const answer = await send(here.dataset.liveUrl);
    if (answer.status === 404) {
      gone = true;
      here.inert = true;
      forgotten();
      return;
    }
    if (!answer.ok) return;
    const page = parse(await answer.text());
    const before = told();
    for (const id of PARTS) swapContent(document.getElementById(id), page.getElementById(id));
    hush();
    if (told() !== before) announce(told());
  } catch (error) {
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  }
}

/** How the last command stands, in words. */
const told = () => [...here.querySelectorAll("[data-told-label], [data-told-words]")].map((part) => part.textContent).join(": ");

const update = debounced(fetchParts, REFRESH_MS);

function forgotten() {
  const line = document.createElement("p");
  line.className = "gs-notice gs-notice-warn";
  line.setAttribute("role", "alert");
  line.textContent = gettext("This phone was forgotten. It appears anew when it is next heard.");
  here.before(line);
}

here.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const head = document.getElementById("phone-head").dataset;
  const what = button.dataset.act;
  if (what === "assign") openDrawer(head.assignUrl, head.phoneMac);
  else if (what === "copy") copy(head.colons);
  else if (what === "hush") putAside(button, () => here.querySelector("[data-key=assign], [data-key=copy]"));
  else if (what === "accept" || what === "dismiss") {
    perform(what, button.dataset.name, button.dataset.url, button.dataset.host).then(update);
  }
  else if (what === "do") {
    const done = await perform(button.dataset.do, head.name, button.dataset.url, button.dataset.host);
    if (done && button.dataset.do === "forget") location.assign(here.dataset.listUrl);
    else update();
  }
});

remember(document);
refresh();
hush();
prepareDrawer(update);
follow({
  onEvents: (message) => {
    if (message.reload || message.events.some((event) => event.mac === here.dataset.mac)) update();
  },
  onPoll: update,
});
setInterval(() => { if (!document.hidden) update(); }, LISTENER_MS);
