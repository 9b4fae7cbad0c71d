// Texts of our scripts go through here, so that they can be translated: Django's catalogue (/words.js) if it is loaded.

const catalogue = () => globalThis.django ?? {};

/** The text in the reader's language; `{name}` is filled from `values`. */
export function gettext(text, values = {}) {
  return filled(catalogue().gettext?.(text) ?? text, values);
}

/** The same for a number of things: `one` for a single one. `{count}` is the number. */
export function ngettext(one, many, count, values = {}) {
  return filled(catalogue().ngettext?.(one, many, count) ?? (count === 1 ? one : many), { count, ...values });
}

function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
