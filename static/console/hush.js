// What the listener says of itself can be put aside in this tab. It comes back when it ends and begins anew.

const STORE = "gspnp.hushed";
const hushed = new Set(JSON.parse(sessionStorage.getItem(STORE) || "[]"));

const keep = () => sessionStorage.setItem(STORE, JSON.stringify([...hushed]));

/** Hide what was put aside; call it whenever the notices are new. */
export function hush() {
  const present = new Set();
  for (const notice of document.querySelectorAll("[data-hush-key]")) {
    present.add(notice.dataset.hushKey);
    notice.hidden = hushed.has(notice.dataset.hushKey);
  }
  const before = hushed.size;
  for (const key of hushed) if (!present.has(key)) hushed.delete(key);
  if (hushed.size !== before) keep();
}

/** Put the notice around this button aside; the focus goes to the next one, or to `fallback`. */
export function putAside(button, fallback) {
  hushed.add(button.closest("[data-hush-key]").dataset.hushKey);
  keep();
  hush();
  (document.querySelector("[data-hush-key]:not([hidden]) [data-act=hush]") ?? fallback())?.focus();
}
