// A field that is being corrected is not marked as wrong any more; what the server will say of it is not known yet.

document.addEventListener("input", ({ target }) => {
  if (target.getAttribute?.("aria-invalid") !== "true") return;
  target.removeAttribute("aria-invalid");
  target.closest(".gs-field-bad")?.classList.remove("gs-field-bad");
  target.form?.querySelector(`[data-error-for="${CSS.escape(target.name)}"]`)?.remove();
}, true);
