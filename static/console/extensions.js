// The directory of extensions: search as one types, and an extension opened in the drawer without losing the list.
// Without this script every link leads to a page that does the same.

import "./mended.js";
import { keptWords, Refused, send, wordsOf } from "./net.js";
import { pageUrl } from "./paging.js";
import { parse } from "./swap.js";
import { refresh } from "./times.js";
import { announce, toast } from "./toast.js";
import { gettext } from "./words.js";

const SEARCH_MS = 200;
const SECRET_CHARS = 20; // letters and digits, which every SIP server and phone takes: 119 bits
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const list = document.getElementById("directory");
const search = document.getElementById("search-text");
const drawer = document.getElementById("drawer");
let asked = 0;
let opener = null;

// --- the list -----------------------------------------------------------------------------------------------------

async function showList(url, remembered = true) {
  const mine = (asked += 1);
  try {
    const answer = await send(url);
    if (mine !== asked) return;
    if (!answer.ok) {
      toast(await wordsOf(answer), "bad");
      return;
    }
    const part = parse(await answer.text());
    const key = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    list.replaceChildren(...part.body.childNodes);
    if (key) list.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
    refresh(list);
    history[remembered ? "pushState" : "replaceState"](null, "", url);
    keepAlong(new URL(url, location.href).searchParams);
    const count = list.querySelector("[data-testid=pager]");
    if (count) announce(count.textContent);
  } catch (error) {
    if (!(error instanceof Refused)) toast(gettext("The server cannot be reached. Try again in a moment."), "bad");
  }
}

/** The export is of what the list shows now, and a search stays within its filter. */
function keepAlong(asked) {
  const put = (form, name) => {
    let field = form?.querySelector(`[type=hidden][name="${name}"]`);
    if (!form || (!field && !asked.has(name))) return;
    if (!asked.has(name) && name === "site") {
      field.remove();
      return;
    }
    if (!field) {
      field = document.createElement("input");
      field.type = "hidden";
      field.name = name;
      form.append(field);
    }
    field.value = asked.get(name) ?? "";
  };
  for (const name of ["q", "only", "site"]) put(document.querySelector(".gs-export form"), name);
  for (const name of ["only", "site"]) put(document.getElementById("search"), name);
}

list?.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-list-link]");
  if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  search.value = new URL(link.href).searchParams.get("q") ?? "";
  showList(link.href);
});

list?.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-page-form]")) return;
  event.preventDefault();
  showList(pageUrl(event.target));
});

let timer = 0;
search?.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const here = new URL(location.href);
    here.searchParams.delete("page");
    if (search.value.trim()) here.searchParams.set("q", search.value.trim());
    else here.searchParams.delete("q");
    showList(here.href, false);
  }, SEARCH_MS);
});

window.addEventListener("popstate", () => {
  if (!list) return;
  search.value = new URLSearchParams(location.search).get("q") ?? "";
  showList(location.href, false);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key !== "/" || typing || drawer.open || !search) return;
  event.preventDefault();
  search.focus();
  search.select();
});

// --- one extension ------------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-edit]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || (!list && !drawer.contains(link))) return;
  event.preventDefault();
  if (!drawer.contains(link)) opener = link.closest("[data-extension]")?.dataset.extension ?? "add";
  open(link.href);
});

async function open(url) {
  try {
    const answer = await send(url);
    if (!answer.ok) toast(await wordsOf(answer), "bad");
    else show(await answer.text());
  } catch (error) {
    if (!(error instanceof Refused)) toast(gettext("The server cannot be reached. Try again in a moment."), "bad");
  }
}

function show(html) {
  const form = document.importNode(new DOMParser().parseFromString(html, "text/html").querySelector("form"), true);
  drawer.replaceChildren(form);
  enliven(form);
  refresh(form);
  if (!drawer.open) drawer.showModal();
  const target = form.querySelector("[aria-invalid=true]") ?? form.querySelector("[tabindex='-1'][role=alert]")
    ?? form.querySelector("[data-testid=followers] input") ?? form.elements["extension-number"];
  target?.focus();
  if (target?.select) target.select();
}

function close() {
  drawer.close();
  drawer.replaceChildren();
  const row = document.querySelector(`[data-extension="${opener}"] a[data-edit]`);
  (row ?? document.querySelector("[data-testid=add]"))?.focus({ preventScroll: true });
}

function dirty(form) {
  return [...form.elements].some((one) => one.type !== "hidden" && "defaultValue" in one && one.type !== "checkbox"
    && one.tagName === "INPUT" && one.value !== one.defaultValue);
}

drawer.addEventListener("cancel", (event) => {
  event.preventDefault();
  if (!dirty(drawer.querySelector("form"))) close();
  else toast(gettext("Not saved yet. Press “Close” to leave it, or “Save”."), "bad");
});

drawer.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = event.submitter ?? form.querySelector("[data-testid=save]");
  if (form.hasAttribute("aria-busy")) return;
  form.setAttribute("aria-busy", "true");
  const body = new URLSearchParams(new FormData(form));
  if (button?.name) body.set(button.name, button.value);
  const typed = form.elements["extension-secret"]?.value;
  try {
    const answer = await send(button?.getAttribute("formaction") ?? form.getAttribute("action"), { method: "POST", body });
    if ((answer.headers.get("content-type") || "").includes("json")) {
      const said = await answer.json();
      if (!answer.ok) {
        toast(said.message, "bad");
      } else if (said.url) {
        location.assign(said.url);
      } else {
        close();
        toast(said.message);
        showList(location.href, false);
      }
    } else if (answer.ok || answer.status === 422 || answer.status === 409) {
      show(await answer.text());
      // A secret never comes back from the server: what was typed is put in again.
      const again = drawer.querySelector("[name=extension-secret]");
      if (again && typed) again.value = typed;
    } else {
      toast(await wordsOf(answer), "bad");
    }
  } catch (error) {
    if (error instanceof Refused) toast(keptWords(), "bad");
    else toast(gettext("The server cannot be reached. Nothing was saved; your entries are still here."), "bad");
  } finally {
    form.removeAttribute("aria-busy");
  }
});

drawer.addEventListener("click", (event) => {
  if (event.target.closest("[data-act=close]")) close();
});

document.addEventListener("click", (event) => {
  const act = event.target.closest("[data-act=reveal], [data-act=generate]");
  if (!act?.closest("[data-testid=extension-form]")) return;
  const input = act.closest(".gs-field").querySelector("input:not([type=checkbox])");
  const eye = act.closest(".gs-field").querySelector("[data-act=reveal]");
  const open = act.dataset.act === "generate" || input.type === "password";
  if (act.dataset.act === "generate") {
    input.value = generated();
    announce(gettext("A new secret was made. It is stored with “Save”."));
  }
  input.type = open ? "text" : "password";
  eye.setAttribute("aria-pressed", String(open));
  eye.querySelector("span").textContent = open ? "visibility_off" : "visibility";
  input.focus();
});

/** Letters and digits at random, each as likely as another. */
function generated() {
  let text = "";
  while (text.length < SECRET_CHARS) {
    for (const byte of crypto.getRandomValues(new Uint8Array(2 * SECRET_CHARS))) {
      if ((byte & 63) < LETTERS.length && text.length < SECRET_CHARS) text += LETTERS[byte & 63];
    }
  }
  return text;
}

/** What works only with this script appears with it. */
function enliven(root) {
  for (const button of root.querySelectorAll("[data-act=generate]")) button.hidden = false;
}

enliven(document);
// The page of a new one, without the list: its first field, as in the drawer.
const first = list ? null : document.querySelector(".gs-drawer-page [name=extension-number]");
if (first && !first.value) first.focus();
refresh();
