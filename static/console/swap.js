// Put freshly fetched HTML in the place of old without disturbing anybody: what did not change is not touched, focus
// and selection stay, rows are known by their MAC and cells are replaced one by one.

import { refresh } from "./times.js";

const served = new WeakMap(); // element -> its HTML as the server sent it, before times and marks were written into it

const htmlOf = (element) => served.get(element) ?? element.innerHTML;

/** Remember what the server sent; call it before anything is written into the page. */
export function remember(root) {
  for (const element of root.querySelectorAll("[id], tr[data-mac] > *, thead")) served.set(element, element.innerHTML);
}

/** Parse a fragment. */
export function parse(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  remember(page);
  return page;
}

/** How to find the focused element of `root` again when its content is another: null without one. */
function focusedIn(root) {
  const focused = root.contains(document.activeElement) ? document.activeElement : null;
  if (focused === null) return null;
  if (focused.dataset.key) return `[data-key="${CSS.escape(focused.dataset.key)}"]`;
  if (focused.id) return `#${CSS.escape(focused.id)}`;
  return focused.hasAttribute("href") ? `a[href="${CSS.escape(focused.getAttribute("href"))}"]` : null;
}

function focusAgain(root, selector) {
  if (selector !== null) root.querySelector(selector)?.focus({ preventScroll: true });
}

/** Replace the content of `old` by that of `fresh`, if it differs. Focus stays: by data-key, id or where a link leads. */
export function swapContent(old, fresh) {
  const attributes = ["hidden", "data-stage", "data-name", "aria-sort"];
  for (const name of attributes) {
    if (fresh.hasAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
    else if (old.hasAttribute(name)) old.removeAttribute(name);
  }
  if (htmlOf(old) === htmlOf(fresh)) return false;
  const focused = focusedIn(old);
  served.set(old, htmlOf(fresh));
  const nodes = [...fresh.childNodes].map((node) => {
    const mine = document.importNode(node, true);
    if (mine.nodeType === Node.ELEMENT_NODE) carry(node, mine);
    return mine;
  });
  old.replaceChildren(...nodes);
  refresh(old);
  focusAgain(old, focused);
  return true;
}

/** Let the imported copy of `from` know what the server sent for its parts. */
function carry(from, to) {
  if (served.has(from)) served.set(to, served.get(from));
  for (let at = 0; at < from.children.length; at += 1) carry(from.children[at], to.children[at]);
}

/** Make the rows of `old` those of `fresh`, in order. */
export function swapRows(old, fresh) {
  const present = new Map([...old.rows].map((row) => [row.dataset.mac, row]));
  let at = old.firstElementChild;
  for (const wanted of [...fresh.rows]) {
    let row = present.get(wanted.dataset.mac);
    if (row) {
      present.delete(wanted.dataset.mac);
      updateRow(row, wanted);
    } else {
      row = document.importNode(wanted, true);
      carry(wanted, row);
    }
    if (row === at) at = at.nextElementSibling;
    else moveBefore(old, row, at);
  }
  for (const gone of present.values()) gone.remove();
  refresh(old);
}

/** Make the rows that are in both as in `fresh`, each where it stands; none comes or goes. */
export function updateRows(old, fresh) {
  const wanted = new Map([...fresh.rows].map((row) => [row.dataset.mac, row]));
  for (const row of old.rows) if (wanted.has(row.dataset.mac)) updateRow(row, wanted.get(row.dataset.mac));
  refresh(old);
}

/** Put a row in its place. Moving an element takes its focus away, so that is given back. */
function moveBefore(body, row, at) {
  const focused = row.contains(document.activeElement) ? document.activeElement : null;
  body.insertBefore(row, at);
  focused?.focus({ preventScroll: true });
}

function updateRow(row, wanted) {
  for (const { name, value } of wanted.attributes) {
    if (name !== "class" && name !== "tabindex" && row.getAttribute(name) !== value) row.setAttribute(name, value);
  }
  for (const name of ["data-assigned", "data-alarm", "data-gone"]) if (!wanted.hasAttribute(name)) row.removeAttribute(name);
  if (columnsOf(row) !== columnsOf(wanted)) {
    swapCells(row, wanted);
    return;
  }
  for (let at = 0; at < wanted.cells.length; at += 1) {
    if (swapContent(row.cells[at], wanted.cells[at])) flash(row.cells[at]);
  }
}

const columnsOf = (row) => [...row.cells].map((cell) => cell.className.split(" ")[0]).join();

/** Other columns than before: all cells anew. */
function swapCells(row, wanted) {
  const focused = focusedIn(row);
  const cells = [...wanted.cells].map((cell) => {
    const mine = document.importNode(cell, true);
    carry(cell, mine);
    return mine;
  });
  row.replaceChildren(...cells);
  focusAgain(row, focused);
}

/** A short light on what has just changed. */
function flash(cell) {
  if (!cell.matches(".gs-col-stage, .gs-col-extension, .gs-col-address")) return;
  cell.classList.remove("gs-flash");
  void cell.offsetWidth;
  cell.classList.add("gs-flash");
  const row = cell.parentElement; // which shows it in a narrow window
  row.addEventListener("animationend", function over(event) {
    if (event.animationName !== "gs-flash") return;
    cell.classList.remove("gs-flash");
    row.removeEventListener("animationend", over);
  });
}
