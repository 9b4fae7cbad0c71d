// Editing many phones: what is entered is meant. A box that a person ticked stays as they left it.

const byItself = new WeakSet();

for (const row of document.querySelectorAll("[data-testid=bulk-edit] .gs-edit-row")) {
  const box = row.querySelector("input[type=checkbox]");
  if (!box) continue;
  const field = row.querySelector("input:not([type=checkbox])");
  row.addEventListener("input", (event) => {
    if (event.target === box) byItself.delete(box);
    if (event.target !== field) return;
    const entered = field.value.trim() !== "";
    if (entered && !box.checked) byItself.add(box);
    // An empty field that is ticked takes away what the phones have: nobody said so by correcting a word.
    if (entered) box.checked = true;
    else if (byItself.delete(box)) box.checked = false;
  });
}
