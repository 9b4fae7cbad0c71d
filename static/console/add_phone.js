// "Add a phone": a small dialog that lists a phone by its MAC before it is heard, and goes on to its assignment.

import { openDrawer } from "./drawer.js";
import "./mended.js";
import { menuIsOpen } from "./menu.js";
import { Refused, send, wordsOf } from "./net.js";
import { toast } from "./toast.js";
import { gettext } from "./words.js";

const OUI_DIGITS = 6;
const dialog = document.getElementById("add-phone");
const opener = document.querySelector("[data-act=add-phone]");
let last = {}; // model and site of the one before: phones come in boxes of the same

async function open() {
  if (dialog.open) return;
  try {
    const answer = await send(`${dialog.dataset.url}?${new URLSearchParams(last)}`);
    if (!answer.ok) {
      toast(await wordsOf(answer), "bad");
      return;
    }
    show(await answer.text());
  } catch (error) {
    if (!(error instanceof Refused)) toast(gettext("The server cannot be reached. Try again in a moment."), "bad");
  }
}

function show(html) {
  const form = document.importNode(new DOMParser().parseFromString(html, "text/html").querySelector("form"), true);
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
  (form.querySelector("[aria-invalid=true]") ?? form.elements.mac).focus();
  remark(form);
}

/** Say beside the MAC if it does not begin as those of our phones; it may be right all the same. */
function remark(form) {
  const digits = form.elements.mac.value.replace(/[^0-9a-f]/gi, "").toUpperCase();
  const known = form.dataset.ouis.split(" ");
  form.querySelector("[data-remark]").hidden = digits.length < OUI_DIGITS || known.includes(digits.slice(0, OUI_DIGITS));
}

async function submit(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("[type=submit]");
  if (button.disabled) return;
  button.disabled = true;
  try {
    const answer = await send(form.getAttribute("action"), { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (answer.status === 422) show(await answer.text());
    else if (answer.ok) {
      const said = await answer.json();
      last = { model: form.elements.model.value, site: form.elements.site.value };
      dialog.close();
      toast(said.message);
      openDrawer(said.assign_url, said.mac);
    } else toast(await wordsOf(answer), "bad");
  } catch (error) {
    if (!(error instanceof Refused)) toast(gettext("The server cannot be reached. Nothing was added; try again."), "bad");
  } finally {
    button.disabled = false;
  }
}

if (dialog && opener) {
  opener.addEventListener("click", open);
  dialog.addEventListener("submit", submit);
  dialog.addEventListener("input", (event) => { if (event.target.name === "mac") remark(event.target.form); });
  dialog.addEventListener("click", (event) => { if (event.target.closest("[data-act=close-add]")) dialog.close(); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "n" || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (menuIsOpen() || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    event.preventDefault();
    open();
  });
}
