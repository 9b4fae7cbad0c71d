// What a phone gets: a filter, and passwords that are shown for a moment.

import { Refused, send, wordsOf } from "./net.js";
import { announce, toast } from "./toast.js";
import { gettext } from "./words.js";

const SHOWN_MS = 30000;
const filter = document.getElementById("effective-filter");
const groups = [...document.querySelectorAll("[data-group]")];
const open = new Map(groups.map((group) => [group, group.open]));

filter?.addEventListener("input", () => {
  const words = filter.value.trim().toLowerCase();
  for (const group of groups) {
    let shown = 0;
    for (const row of group.querySelectorAll("[data-effective]")) {
      row.hidden = Boolean(words) && !row.textContent.toLowerCase().includes(words);
      if (!row.hidden) shown += 1;
    }
    group.hidden = shown === 0;
    group.open = words ? true : open.get(group);
  }
});

for (const form of document.querySelectorAll("[data-reveal]")) {
  const place = form.querySelector("output");
  const button = form.querySelector("button");
  const mask = place.textContent;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const answer = await send(form.action, { method: "POST", body: new URLSearchParams({ name: form.elements.name.value }) });
      if (!answer.ok) {
        toast(await wordsOf(answer), "bad");
        return;
      }
      place.textContent = (await answer.json()).value;
      button.hidden = true;
      announce(gettext("The password is shown for 30 seconds."));
      setTimeout(() => {
        place.textContent = mask;
        button.hidden = false;
      }, SHOWN_MS);
    } catch (error) {
      if (error instanceof TypeError) toast(gettext("The server cannot be reached. Try again."), "bad");
      else if (!(error instanceof Refused)) throw error;
    }
  });
}
