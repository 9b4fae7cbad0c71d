// Short messages in the corner, above everything, also said to a screen reader.

const SHOWN_MS = { good: 6000, bad: 12000 };
const OFFERED_MS = 20000; // with a button

/** Show `words`; `kind` is good or bad. `offer` is a button: `{ label, run }`. */
export function toast(words, kind = "good", offer = null) {
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
  const leave = () => {
    note.remove();
    if (!place.childElementCount && place.matches(":popover-open")) place.hidePopover();
  };
  if (offer) note.append(buttonOf(offer));
  place.append(note);
  toFront();
  announce(words);
  note.addEventListener("click", leave);
  setTimeout(leave, offer ? OFFERED_MS : (SHOWN_MS[kind] ?? SHOWN_MS.good));
}

function buttonOf({ label, run }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "gs-toast-button";
  button.dataset.testid = "toast-button";
  button.textContent = label;
  button.addEventListener("click", run);
  return button;
}

/** In front of everything, and where it can be pressed: outside an open dialog nothing can. */
export function toFront() {
  const place = document.getElementById("gs-toasts");
  const home = document.querySelector("dialog[open]") ?? document.body;
  if (place.parentElement !== home) home.append(place);
  // A popover stands in the top layer; shown again, it is the foremost.
  if (place.matches(":popover-open")) place.hidePopover();
  if (place.childElementCount) place.showPopover();
}

/** Say it to a screen reader only; outside an open dialog it would not be heard. */
export function announce(words) {
  const regions = [document.getElementById("gs-live-region"), document.querySelector("dialog[open] [data-live]")];
  for (const region of regions.filter(Boolean)) {
    const line = document.createElement("p");
    line.textContent = words;
    region.append(line);
    while (region.childElementCount > 5) region.firstElementChild.remove();
  }
}
