// Short messages in the corner, above everything, also said to a screen reader.

const SHOWN_MS = { good: 6000, bad: 12000 };

/** Show `words`; `kind` is good or bad. `link` ({url, words}) leads on. */
export function toast(words, kind = "good", link = null) {
  const place = document.getElementById("gs-toasts");
  const note = document.createElement("div");
  note.className = `gs-toast gs-toast-${kind}`;
  note.dataset.testid = "toast";
  const icon = document.createElement("span");
  icon.className = "material-symbols-outlined";
  icon.setAttribute("aria-hidden", "true");
  icon.textContent = kind === "good" ? "check_circle" : "error";
  const text = document.createElement("span");
  text.textContent = words;
  note.append(icon, text);
  if (link?.url) {
    const onward = document.createElement("a");
    onward.href = link.url;
    onward.textContent = link.words;
    note.append(onward);
  }
  place.append(note);
  // A popover stands in the top layer, in front of an open dialog; shown again, it is the foremost.
  if (place.matches(":popover-open")) place.hidePopover();
  place.showPopover();
  announce(words);
  const leave = () => {
    note.remove();
    if (!place.childElementCount && place.matches(":popover-open")) place.hidePopover();
  };
  note.addEventListener("click", leave);
  setTimeout(leave, SHOWN_MS[kind] ?? SHOWN_MS.good);
}

/** Say it to a screen reader only. */
export function announce(words) {
  const region = document.getElementById("gs-live-region");
  const line = document.createElement("p");
  line.textContent = words;
  region.append(line);
  while (region.childElementCount > 5) region.firstElementChild.remove();
}
