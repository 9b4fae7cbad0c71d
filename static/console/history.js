// The history of a phone: the question before an old version becomes a new one, without another page.

import { confirmed } from "./actions.js";
import { refresh } from "./times.js";
import { gettext } from "./words.js";

for (const form of document.querySelectorAll("[data-back]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const number = form.dataset.back;
    const text = gettext("Accounts, keys and settings become what version {number} said, as a new version with paths of its own. What its site and templates say otherwise today, this phone then says for itself. The phone is told, takes it and restarts. No version is lost: you can come back the same way.", { number });
    if (!(await confirmed(gettext("Go back to version {number}?", { number }), text, gettext("Go back")))) return;
    form.elements.sure.value = "yes";
    form.submit();
  });
}

refresh();
