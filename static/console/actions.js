// What one click does to one phone, with a question before what cannot be undone.

import { act } from "./net.js";
import { announce, toast } from "./toast.js";

/** Copy text; without a secure context the browser keeps the clipboard away, so the old way is the fallback. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "gs-unseen";
    const back = document.activeElement;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    back?.focus();
  }
  toast(`Copied ${text}`);
}

/** Ask; resolves to whether the person agreed. Focus comes back by itself. */
export function confirmed(title, text, yes) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("#confirm-title").textContent = title;
  dialog.querySelector("#confirm-text").textContent = text;
  dialog.querySelector("[data-confirm=yes]").textContent = yes;
  return new Promise((resolve) => {
    const choose = (event) => {
      const choice = event.target.closest("[data-confirm]");
      if (choice) dialog.close(choice.dataset.confirm);
    };
    dialog.addEventListener("click", choose);
    dialog.addEventListener("close", () => {
      dialog.removeEventListener("click", choose);
      resolve(dialog.returnValue === "yes");
    }, { once: true });
    dialog.returnValue = "no";
    dialog.showModal();
    dialog.querySelector("[data-confirm=no]").focus();
    announce(title);
  });
}

/** notify, ignore, heed or forget, with the address that was seen; returns whether it was done. */
export async function perform(what, name, url, host) {
  if (what === "forget") {
    const text = `${name}: its assignment, stored password, files and history are deleted, and its paths lead nowhere. `
      + "The phone keeps what it has, and appears anew when it is next heard.";
    if (!(await confirmed("Forget this phone?", text, "Forget"))) return false;
  }
  return act(url, host);
}
