// The dialog with all keys of the page, by ? or by its button.

const keys = document.getElementById("keys");

function show() {
  keys.showModal();
  keys.scrollTop = 0;
}

document.querySelector("[data-help]")?.addEventListener("click", show);
keys.addEventListener("click", (event) => {
  if (event.target === keys || event.target.closest("[data-close]")) keys.close();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "?" || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
  if (document.querySelector("dialog[open], .gs-pop:popover-open, .gs-menu:not([hidden])")) return;
  event.preventDefault();
  show();
});
