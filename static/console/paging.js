// The number of a page that was typed, as the address of that page.

/** Where the form of a pager leads. */
export function pageUrl(form) {
  return new URL(`?${new URLSearchParams(new FormData(form))}`, location.href).href;
}
