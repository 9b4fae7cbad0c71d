// Inside the drawer: codecs in order, the drawing that follows the keys, showing what is typed as a password.

const NEEDS_NO_VALUE = new Set(["", "line", "shared_line", "transfer", "call_return", "ldap", "voicemail"]);

/** Bring a fresh form to life. */
export function prepareForm(form) {
  form.querySelectorAll("[data-codecs]").forEach(prepareCodecs);
  form.querySelectorAll("[data-password]").forEach(preparePassword);
  form.querySelectorAll("[data-key-editor]").forEach((editor) => prepareKey(form, editor));
  form.querySelectorAll("[data-cap]").forEach((cap) => {
    cap.addEventListener("click", () => {
      form.querySelector(`[name="key-${cap.dataset.cap}-mode"]`).focus();
    });
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act=reveal]");
    if (button) reveal(button);
  });
  const named = () => {
    const text = (name) => form.elements[`account-1-${name}`]?.value ?? "";
    const place = form.querySelector("[data-screen-name]");
    if (place) place.textContent = [text("user_id"), text("display_name")].filter(Boolean).join("  ");
  };
  form.addEventListener("input", named);
  named();
}

/** Say it when an account will have no password. */
function preparePassword(box) {
  const show = () => {
    const stored = "stored" in box.dataset && !box.querySelector("[type=checkbox]")?.checked;
    const typed = box.querySelector("input:not([type=checkbox])").value;
    box.querySelector("[data-no-password]").hidden = stored || Boolean(typed);
  };
  box.addEventListener("input", show);
  show();
}

function reveal(button) {
  const input = button.parentElement.querySelector("input");
  const show = input.type === "password";
  input.type = show ? "text" : "password";
  button.setAttribute("aria-pressed", String(show));
  button.querySelector("span").textContent = show ? "visibility_off" : "visibility";
  input.focus();
}

function prepareCodecs(box) {
  const list = box.querySelector("ol");
  const add = box.querySelector("[data-codec-add]");
  const tidy = () => {
    const present = new Set([...list.children].map((item) => item.dataset.codec));
    for (const option of add.options) option.hidden = option.disabled = Boolean(option.value) && present.has(option.value);
    add.parentElement.hidden = [...add.options].every((option) => !option.value || option.disabled);
  };
  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act^=codec-]");
    const item = button?.closest("li");
    if (!item) return;
    const { act } = button.dataset;
    if (act === "codec-remove") {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      item.remove();
      (next?.querySelector("[data-act=codec-remove]") ?? add).focus();
    } else {
      const other = act === "codec-up" ? item.previousElementSibling : item.nextElementSibling;
      if (other) (act === "codec-up" ? other.before(item) : other.after(item));
      button.focus();
    }
    tidy();
    box.dispatchEvent(new Event("input", { bubbles: true }));
  });
  add.addEventListener("change", () => {
    if (!add.value) return;
    const label = add.selectedOptions[0].textContent;
    const item = box.querySelector("template").content.firstElementChild.cloneNode(true);
    item.dataset.codec = item.querySelector("input").value = add.value;
    item.querySelector("[data-codec-label]").textContent = label;
    for (const button of item.querySelectorAll("button")) button.setAttribute("aria-label", `${button.title}: ${label}`);
    list.append(item);
    add.value = "";
    tidy();
  });
  tidy();
}

function prepareKey(form, editor) {
  const name = editor.dataset.keyEditor;
  const field = (part) => form.elements[`key-${name}-${part}`];
  const cap = form.querySelector(`[data-cap="${name}"]`);
  const inherited = editor.querySelector("[data-inherited]")?.dataset.inherited ?? ""; // from a layout or the team
  const show = () => {
    const mode = field("mode");
    const words = mode.value ? mode.selectedOptions[0].textContent : "";
    const text = field("label").value || field("value").value || words || inherited;
    for (const place of form.querySelectorAll(`[data-cap-text="${name}"]`)) place.textContent = text;
    cap?.classList.toggle("gs-cap-set", Boolean(mode.value || inherited));
    editor.classList.toggle("gs-key-set", Boolean(mode.value));
    field("value").placeholder = mode.value ? (NEEDS_NO_VALUE.has(mode.value) ? "" : "number") : "value";
  };
  editor.addEventListener("input", (event) => {
    // A number typed into an empty MPK is meant to be watched; that is what these keys are for.
    const isMpk = name.startsWith("mpk");
    if (isMpk && event.target === field("value") && event.target.value && !field("mode").value) field("mode").value = "blf";
    show();
  });
  editor.addEventListener("focusin", () => cap?.classList.add("gs-cap-here"));
  editor.addEventListener("focusout", () => cap?.classList.remove("gs-cap-here"));
  show();
}
