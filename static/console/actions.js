// What one click does to one phone, with a question before what cannot be undone.

import { act } from "./net.js";
import { announce, toast } from "./toast.js";
import { gettext } from "./words.js";

/** Copy text, and say what was copied; without a secure context the browser keeps the clipboard away, so the old way is the fallback. */
export async function copy(text, what = text) {
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
  toast(gettext("Copied {what}", { what }));
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

// What is asked before it is done: title, text, and the word on the button.
const QUESTIONS = {
  forget: (name) => [
    gettext("Forget this phone?"),
    gettext("{name}: its assignment, stored password, files and history are deleted, and its paths lead nowhere. The phone keeps what it has, and appears anew when it is next heard.", { name }),
    gettext("Forget"),
  ],
  reboot: (name) => [
    gettext("Restart this phone?"),
    gettext("{name} is asked to restart: it is away for a minute or so, and a call on it may be cut off.", { name }),
    gettext("Restart"),
  ],
  "new-paths": (name) => [
    gettext("Make new paths?"),
    gettext("{name} gets a new version of its file, is notified, and restarts. Its old path works until it has come by the new one.", { name }),
    gettext("Make new paths"),
  ],
  "replace-paths": (name) => [
    gettext("Make new paths, and end the old ones?"),
    gettext("{name} gets a new version of its file and is notified. Its old paths lead nowhere from now on: if it misses the NOTIFY, it finds its file only when it is notified again, or by a release.", { name }),
    gettext("New paths, end the old ones"),
  ],
  "key-again": (name, host) => [
    gettext("Has this phone been reset?"),
    gettext("{name} is notified at {host}, and whoever has its MAC there gets the key of its encrypted file: with the key, its password. Agree only if it was reset to factory values, and is the phone at this address.", { name, host: host || "–" }),
    gettext("Give it the key again"),
  ],
  "revoke-paths": (name) => [
    gettext("End the earlier paths?"),
    gettext("If {name} has not taken its present file yet, it finds it only when it is notified again, or by a release.", { name }),
    gettext("End them"),
  ],
  accept: (name, host) => [
    gettext("Is it that phone?"),
    gettext("From now on {name} is at {host}: its configuration, with its password, goes there. Agree only if you know that this phone has moved.", { name, host }),
    gettext("Use {host}", { host }),
  ],
};

/** What is asked before a file is let out, with the key of an encrypted one or without. */
export const releaseQuestion = (name, host, withKey) => [
  gettext("Release its file?"),
  withKey ? gettext("Whoever asks from {host} for the file of {name} by its plain name gets it once, with the key that opens it. Agree only if that is this phone, and it has been reset.", { name, host: host || "–" }) : gettext("Whoever asks from {host} for the file of {name} by its plain name gets it once, with its password. Agree only if that is this phone.", { name, host: host || "–" }),
  gettext("Release"),
];

/** Do one of the actions, with the address that was seen, after a question where one is due; returns whether it was done. */
export async function perform(what, name, url, host) {
  if (what in QUESTIONS && !(await confirmed(...QUESTIONS[what](name, host)))) return false;
  return act(url, host);
}
