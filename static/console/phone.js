// The page of one phone: what changes by itself is fetched again when something happened to it.

import { confirmed, copy, perform, releaseQuestion } from "./actions.js";
import { discard, openDrawer, prepareDrawer } from "./drawer.js";
import { hush, putAside } from "./hush.js";
import { debounced, follow } from "./live.js";
import { act, Refused, send } from "./net.js";
import { parse, remember, swapContent } from "./swap.js";
import { refresh } from "./times.js";
import { announce } from "./toast.js";
import { gettext } from "./words.js";

const REFRESH_MS = 150;
const LISTENER_MS = 10000;
const TRANSCRIPT_MS = 2500; // what was said is written down when nobody waits for an answer any more
const PARTS = [
  "phone-head", "phone-notices", "phone-way", "phone-configuration", "phone-commands", "phone-paths", "phone-timeline", "phone-side",
  "phone-sip", "phone-danger",
];
const here = document.getElementById("phone");
let gone = false;

/** The live part with as much of the timeline as is shown: the page's own address says it. */
function liveUrl() {
  const wanted = new URLSearchParams(location.search);
  const kept = new URLSearchParams(["kind", "events"].filter((name) => wanted.has(name)).map((name) => [name, wanted.get(name)]));
  return kept.size ? `${here.dataset.liveUrl}?${kept}` : here.dataset.liveUrl;
}

/** Swap a part; what a person has opened in it stays open. */
function swapPart(part, fresh) {
  const known = new Map([...part.querySelectorAll("details[data-key]")].map((one) => [one.dataset.key, one.open]));
  const typed = new Map([...part.querySelectorAll("input[data-key]")].filter((one) => one.value !== one.defaultValue).map((one) => [one.dataset.key, one.value]));
  if (!swapContent(part, fresh)) return;
  for (const one of part.querySelectorAll("input[data-key]")) {
    if (typed.has(one.dataset.key)) one.value = typed.get(one.dataset.key);
  }
  for (const one of part.querySelectorAll("details[data-key]")) {
    if (known.has(one.dataset.key)) one.open = known.get(one.dataset.key);
  }
}

/** The file is read on the page itself only: when there is another version, that is fetched again. */
async function fetchFile(number) {
  const file = document.getElementById("phone-file");
  if (file.dataset.version === number) return;
  const answer = await send(location.href);
  if (!answer.ok) return;
  const fresh = parse(await answer.text()).getElementById("phone-file");
  swapPart(file, fresh);
  file.dataset.version = fresh.dataset.version;
}

async function fetchParts() {
  if (gone) return;
  try {
    const answer = await send(liveUrl());
    if (answer.status === 404) {
      gone = true;
      here.inert = true;
      for (const id of ["phone-commands", "phone-paths", "phone-danger"]) document.getElementById(id).replaceChildren();
      here.querySelector(".gs-phone-actions").replaceChildren();
      forgotten();
      return;
    }
    if (!answer.ok) return;
    const page = parse(await answer.text());
    const before = told();
    const reason = why();
    for (const id of PARTS) swapPart(document.getElementById(id), page.getElementById(id));
    hush();
    await fetchFile(page.getElementById("phone-head").dataset.version);
    if (told() !== before) announce(told());
    else if (why() !== reason && why()) announce(why());
  } catch (error) {
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  }
}

/** How the last command stands, in words. */
const told = () => [...here.querySelectorAll("[data-told-label], [data-told-words]")].map((part) => part.textContent).join(": ");

/** Why it stands still, or what it waits for. */
const why = () => {
  const parts = [...(here.querySelector("[data-reason]")?.childNodes ?? [])];
  return parts.filter((part) => !part.classList?.contains("material-symbols-outlined")).map((part) => part.textContent).join("").trim();
};

/** Everything that was said, as text to be sent to somebody. */
function transcript() {
  const parts = [...here.querySelectorAll("[data-exchange]")].map((exchange) => {
    const lines = [...exchange.querySelectorAll("[data-sip]")].map((line) => {
      const head = line.querySelector("[data-sip-head]").cloneNode(true);
      for (const icon of head.querySelectorAll(".material-symbols-outlined")) icon.remove();
      for (const time of head.querySelectorAll("time")) time.textContent = time.dateTime;
      return `--- ${head.textContent.trim().replace(/\s+/g, " ")}\n${line.querySelector("pre").textContent}`;
    });
    return lines.join("\n");
  });
  return parts.join("\n");
}

const update = debounced(fetchParts, REFRESH_MS);

function forgotten() {
  const line = document.createElement("p");
  line.className = "gs-notice gs-notice-warn";
  line.setAttribute("role", "alert");
  line.textContent = gettext("This phone was forgotten. It appears anew when it is next heard.");
  here.before(line);
}

here.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-timeline]");
  if (link && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
    event.preventDefault();
    history.replaceState(null, "", link.getAttribute("href"));
    update();
    return;
  }
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const head = document.getElementById("phone-head").dataset;
  const what = button.dataset.act;
  if (what === "assign") openDrawer(head.assignUrl, head.phoneMac);
  else if (what === "copy") copy(head.colons);
  else if (what === "copy-sip") copy(transcript(), gettext("the SIP messages"));
  else if (what === "hush") putAside(button, () => here.querySelector("[data-key=assign], [data-key=copy]"));
  else if (what === "accept" || what === "dismiss") {
    perform(what, button.dataset.name, button.dataset.url, button.dataset.host).then(update);
  }
  else if (what === "do") {
    const done = await perform(button.dataset.do, head.name, button.dataset.url, button.dataset.host);
    if (done && button.dataset.do === "forget") {
      discard(head.phoneMac);
      location.assign(here.dataset.listUrl);
    } else update();
  }
});

here.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-release]");
  if (!form) return;
  event.preventDefault();
  form.querySelector("[data-key=release]").focus(); // what stands there afterwards has the same key
  const { host, minutes, with_key } = form.elements;
  const withKey = with_key?.checked ?? false;
  if (!(await confirmed(...releaseQuestion(document.getElementById("phone-head").dataset.name, host.value.trim(), withKey)))) return;
  await act(form.action, host.value, { minutes: minutes.value, ...(withKey && { with_key: "yes" }) });
  update();
});

remember(document);
refresh();
hush();
if (location.hash === "#release") (document.getElementById("release-host") ?? here.querySelector("[data-key=release]"))?.focus(); // from the list: no id, so that the browser does not move the focus itself
prepareDrawer(update);
follow({
  onEvents: (message) => {
    if (!message.reload && !message.events.some((event) => event.mac === here.dataset.mac)) return;
    update();
    setTimeout(update, TRANSCRIPT_MS);
  },
  onPoll: update,
});
setInterval(() => { if (!document.hidden) update(); }, LISTENER_MS);
