// Lines that stand until what they say is over: at the top of the page, and of an open dialog, because outside it nothing
// can be read or pressed.

const places = () => [document.getElementById("console"), ...document.querySelectorAll("dialog[open]")].filter(Boolean);
const lines = (id) => document.querySelectorAll(`[data-standing="${id}"]`);

/** Whether the line stands. */
export const stands = (id) => lines(id).length > 0;

const changed = () => document.dispatchEvent(new CustomEvent("gs:standing"));

/** Show `words`, and a link `{ label, url }` that leaves alone what is typed in a dialog. Once for each place; other words
 * take the place of those before. */
export function stand(id, words, link = null) {
  for (const place of places()) {
    const before = place.querySelector(`:scope > [data-standing="${id}"]`);
    if (before?.dataset.words === words) continue;
    before?.remove();
    const line = document.createElement("p");
    line.className = "gs-notice gs-notice-bad gs-standing";
    line.setAttribute("role", "alert");
    line.dataset.standing = line.dataset.testid = id;
    line.dataset.words = words;
    line.append(words);
    if (link) line.append(" ", linkOf(link, place.matches("dialog")));
    place.prepend(line);
  }
  changed();
}

/** It is over. */
export function lift(id) {
  if (!stands(id)) return;
  for (const line of lines(id)) line.remove();
  changed();
}

function linkOf({ label, url }, inNewTab) {
  const link = document.createElement("a");
  link.href = url;
  link.textContent = label;
  if (inNewTab) Object.assign(link, { target: "_blank", rel: "noopener" });
  return link;
}
