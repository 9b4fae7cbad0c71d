// What is done to the selection: the server says first what it would mean, then the person agrees, and a job does it.

import { Refused, send, token, wordsOf } from "./net.js";
import { clearSelection, selectionForm } from "./select.js";
import { refresh } from "./times.js";
import { toast } from "./toast.js";
import { gettext, ngettext } from "./words.js";

const AWAY = gettext("The server cannot be reached. Nothing was done; try again.");
const dialog = () => document.getElementById("order");
const bar = () => document.getElementById("selection");
let ordered = () => {};

/** Wire it up once; `onOrdered()` is called after an order. */
export function prepareOrders(onOrdered) {
  ordered = onOrdered;
  bar().addEventListener("click", (event) => {
    const button = event.target.closest("[data-order], [data-post]");
    if (button?.dataset.order) look(button.dataset.order);
    else if (button) post(button.dataset.post);
  });
  dialog().addEventListener("click", (event) => {
    if (event.target.closest("[data-close]") || event.target === dialog()) dialog().close();
  });
  dialog().addEventListener("input", showTime);
  dialog().addEventListener("submit", go);
}

const urlOf = (kind) => bar().dataset.orderUrl.replace("/kind/", `/${kind}/`);

/** Ask the server what it would mean, and show that. */
async function look(kind) {
  try {
    const answer = await send(urlOf(kind), { method: "POST", body: selectionForm() });
    if (!answer.ok) {
      toast(await wordsOf(answer), "bad");
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    dialog().replaceChildren(document.importNode(page.querySelector("form"), true));
    if (!dialog().open) dialog().showModal();
    refresh(dialog());
    showTime();
    const first = ["[data-look]", "[data-pace]", "[data-close]"].map((one) => dialog().querySelector(one)).find(Boolean);
    first.focus(); // what is to be looked at comes before any field in which Enter agrees
  } catch (error) {
    if (!(error instanceof Refused)) toast(AWAY, "bad");
  }
}

async function go(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("[type=submit]");
  const body = selectionForm();
  body.set("go", form.dataset.digest); // the phones that the question was about
  if (form.elements.pace) body.set("pace", form.elements.pace.value);
  button.disabled = true;
  try {
    const answer = await send(urlOf(form.dataset.kind), { method: "POST", body });
    const said = answer.headers.get("content-type")?.includes("json") ? await answer.clone().json() : {};
    if (answer.ok) {
      dialog().close();
      clearSelection();
      toast(said.message, "good", said.url ? { url: said.url, label: said.link } : null);
      ordered();
    } else {
      toast(await wordsOf(answer), "bad");
      if (said.again) look(form.dataset.kind);
    }
  } catch (error) {
    if (!(error instanceof Refused)) toast(AWAY, "bad");
  } finally {
    button.disabled = false;
  }
}

/** How long it takes at the pace that is typed. */
function showTime() {
  const [pace, place] = [dialog().querySelector("[data-pace]"), dialog().querySelector("[data-takes]")];
  if (!place) return;
  const least = Number(pace.min);
  const minutes = (Number(dialog().querySelector("form").dataset.count) - 1) / Number(pace.value);
  if (!(Number(pace.value) > 0) || !(minutes > 0)) place.textContent = "";
  else if (Number(pace.value) < least) {
    place.textContent = gettext("That would take too long: enter {least} or more, or select fewer phones.", { least });
  } else if (minutes < 1.5) {
    const seconds = Math.max(1, Math.ceil(minutes * 60));
    place.textContent = ngettext("The last one is asked after about {count} second.", "The last one is asked after about {count} seconds.", seconds);
  } else if (minutes < 90) {
    place.textContent = ngettext("The last one is asked after about {count} minute.", "The last one is asked after about {count} minutes.", Math.ceil(minutes));
  } else place.textContent = gettext("The last one is asked after about {hours} hours.", { hours: (minutes / 60).toFixed(1) });
}

/** Send the selection as a form: the answer is a page or a file. */
function post(url) {
  const form = document.createElement("form");
  form.method = "post";
  form.action = url;
  const fields = selectionForm();
  fields.set("csrfmiddlewaretoken", token());
  for (const [name, value] of fields) {
    const input = document.createElement("input");
    Object.assign(input, { type: "hidden", name, value });
    form.append(input);
  }
  document.body.append(form);
  form.submit();
  form.remove();
}
