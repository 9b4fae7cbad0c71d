// Inside the drawer: codecs in order, the keys, showing what is typed as a password.

import { prepareKeys } from "./phone_keys.js";
import { announce } from "./toast.js";
import { gettext } from "./words.js";

/** Bring a fresh form to life. */
export function prepareForm(form) {
  form.querySelectorAll("[data-codecs]").forEach(prepareCodecs);
  form.querySelectorAll("[data-password]").forEach(preparePassword);
  prepareKeys(form);
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act=reveal]");
    if (button) reveal(button);
  });
}

/** Say it when an account will have no password. */
function preparePassword(box) {
  const show = () => {
    const stored = "stored" in box.dataset && !box.querySelector("[type=checkbox]")?.checked;
    const typed = box.querySelector("input:not([type=checkbox])").value;
    box.querySelector("[data-no-password]").hidden = stored || Boolean(typed);
  };
  box.addEventListener("input", show);
  show();
}

function reveal(button) {
  const input = button.parentElement.querySelector("input");
  const show = input.type === "password";
  input.type = show ? "text" : "password";
  button.setAttribute("aria-pressed", String(show));
  button.querySelector("span").textContent = show ? "visibility_off" : "visibility";
  input.focus();
}

function prepareCodecs(box) {
  const list = box.querySelector("ol");
  const add = box.querySelector("[data-codec-add]");
  const tidy = () => {
    const present = new Set([...list.children].map((item) => item.dataset.codec));
    rove();
    for (const option of add.options) option.hidden = option.disabled = Boolean(option.value) && present.has(option.value);
    add.parentElement.hidden = [...add.options].every((option) => !option.value || option.disabled);
  };
  const changed = () => {
    box.dispatchEvent(new Event("input", { bubbles: true }));
    const order = [...list.querySelectorAll("[data-codec-label]")].map((one, at) => `${at + 1} ${one.textContent}`);
    announce(gettext("Codecs in order: {order}.", { order: order.join(", ") }));
  };
  // One stop of Tab for the whole list, as for the drawing of the keys: arrows go from codec to codec and button to button.
  const buttons = (item) => [...item.querySelectorAll("button")];
  const rove = (current = null) => {
    const all = [...list.children].flatMap(buttons);
    const chosen = current ?? all.find((one) => one.tabIndex === 0) ?? all[0];
    for (const one of all) one.tabIndex = one === chosen ? 0 : -1;
  };
  const goFrom = (event, item) => {
    const items = [...list.children];
    const [at, place] = [items.indexOf(item), buttons(item).indexOf(event.target)];
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    const side = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (to === undefined && side === undefined) return;
    event.preventDefault();
    const next = side ? buttons(item)[place + side] : items[to] && buttons(items[to])[place];
    next?.focus();
  };
  const move = (item, up, button) => {
    const other = up ? item.previousElementSibling : item.nextElementSibling;
    if (other) (up ? other.before(item) : other.after(item));
    button.focus();
    if (other) changed();
  };
  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act^=codec-]");
    const item = button?.closest("li");
    if (!item) return;
    const { act } = button.dataset;
    if (act !== "codec-remove") {
      move(item, act === "codec-up", button);
      return;
    }
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    (next?.querySelector("[data-act=codec-remove]") ?? add).focus();
    changed();
  });
  box.addEventListener("keydown", (event) => {
    const item = event.target.closest("li[data-codec]");
    if (!item || !event.target.closest("button") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (!event.altKey) {
      goFrom(event, item);
      return;
    }
    if (!["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    move(item, event.key === "ArrowUp" || event.key === "ArrowLeft", event.target);
  });
  list.addEventListener("focusin", (event) => { if (event.target.closest("button")) rove(event.target); });
  list.addEventListener("update", changed); // dragged to another place, by mouse or by touch
  box.addEventListener("input", tidy); // also when somebody else's order is taken
  add.addEventListener("change", () => {
    if (!add.value) return;
    const label = add.selectedOptions[0].textContent;
    const item = box.querySelector("template").content.firstElementChild.cloneNode(true);
    item.dataset.codec = item.querySelector("input").value = add.value;
    item.querySelector("[data-codec-label]").textContent = label;
    for (const button of item.querySelectorAll("button")) button.setAttribute("aria-label", `${button.title}: ${label}`);
    list.append(item);
    add.value = "";
    changed();
  });
  tidy();
}
