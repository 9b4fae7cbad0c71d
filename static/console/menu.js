// The menu of one row: by right-click, the menu key, or the row's own button. Arrow keys move, Escape closes.

let owner = null; // the row that it is open for
let back = null; // what had the focus
let host = ""; // the address that its row showed then; the row may change below the open menu
let chosen = () => {};

const menu = () => document.getElementById("menu");
const items = () => [...menu().querySelectorAll("[role=menuitem]:not([hidden])")];

/** Say what happens on a choice: `onChoose(what, row, host, go)`; an item with data-go leads below the phone's page. */
export function prepareMenu(onChoose) {
  chosen = onChoose;
  const here = menu();
  here.addEventListener("click", (event) => {
    const item = event.target.closest("[data-do]");
    if (!item) return;
    const row = document.querySelector(`tr[data-mac="${owner}"]`);
    closeMenu();
    if (row) chosen(item.dataset.do, row, host, item.dataset.go ?? null);
  });
  here.addEventListener("keydown", onKey);
  here.addEventListener("contextmenu", (event) => event.preventDefault());
  document.addEventListener("pointerdown", (event) => {
    if (!here.hidden && !here.contains(event.target)) closeMenu(false);
  });
  window.addEventListener("blur", () => closeMenu(false));
  window.addEventListener("resize", () => closeMenu(false));
}

export const menuIsOpen = () => !menu().hidden;

/** Open it for `row` at a point of the window. */
export function openMenu(row, x, y) {
  const here = menu();
  owner = row.dataset.mac;
  host = row.dataset.host;
  back = row.contains(document.activeElement) ? document.activeElement : row;
  here.querySelector("[data-menu-title]").textContent = row.dataset.colons;
  for (const item of here.querySelectorAll("[data-for-assigned]")) item.hidden = !("assigned" in row.dataset);
  for (const item of here.querySelectorAll("[data-if-new]")) item.hidden = "assigned" in row.dataset;
  const stage = row.querySelector("[data-stage]")?.dataset.stage;
  const ignored = stage === "ignored";
  for (const item of here.querySelectorAll("[data-do=ignore]")) item.hidden = ignored || stage === "retired";
  for (const item of here.querySelectorAll("[data-do=bring-back]")) item.hidden = stage !== "retired";
  for (const item of here.querySelectorAll("[data-do=heed]")) item.hidden = !ignored;
  here.hidden = false;
  const { width, height } = here.getBoundingClientRect();
  here.style.left = `${Math.max(8, Math.min(x, document.documentElement.clientWidth - width - 8))}px`;
  here.style.top = `${Math.max(8, Math.min(y, window.innerHeight - height - 8))}px`;
  items()[0]?.focus();
}

export function closeMenu(refocus = true) {
  if (menu().hidden) return;
  menu().hidden = true;
  if (refocus && back) (back.isConnected ? back : document.querySelector(`tr[data-mac="${owner}"]`))?.focus();
}

function onKey(event) {
  const all = items();
  const at = all.indexOf(document.activeElement);
  const move = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
  if (move !== undefined) all[move % all.length].focus();
  else if (event.key === "Escape" || event.key === "Tab") closeMenu();
  else return;
  event.preventDefault();
  event.stopPropagation();
}
