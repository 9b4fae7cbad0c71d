// The keys of the phone: the drawing, the editor of the chosen key, moving what is on a key, and the way back.

import { moveByPointer } from "./key_drag.js";
import { write } from "./phone_labels.js";
import { announce, toast } from "./toast.js";
import { gettext, ngettext } from "./words.js";

const PARTS = ["mode", "value", "label", "account"];
const NEEDS_NO_VALUE = new Set(["", "line", "shared_line", "transfer", "call_return", "ldap", "voicemail"]);
const MAX_UNDO = 100;
const DIRECTIONS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** Bring the keys of a fresh form to life. */
export function prepareKeys(form) {
  if (!form.querySelector("[data-drawing]")) return;
  const keys = new Keys(form);
  keys.start();
}

class Keys {
  constructor(form) {
    this.form = form;
    this.caps = [...form.querySelectorAll("[data-cap]")];
    this.editors = new Map([...form.querySelectorAll("[data-key-editor]")].map((one) => [one.dataset.keyEditor, one]));
    this.names = [...this.editors.keys()].sort((a, b) => this.place(a) - this.place(b));
    this.past = [];
    this.last = "";
  }

  start() {
    const { form } = this;
    for (const [name, editor] of this.editors) {
      editor.addEventListener("input", (event) => this.typed(name, event));
      editor.addEventListener("focusin", () => this.open(name));
    }
    form.addEventListener("change", () => this.note());
    form.addEventListener("click", (event) => this.clicked(event));
    form.addEventListener("keydown", (event) => this.undoKey(event));
    const drawing = form.querySelector("[data-drawing]");
    drawing.addEventListener("keydown", (event) => this.capKey(event));
    drawing.addEventListener("focusin", (event) => this.rove(event.target.closest("[data-cap]")));
    moveByPointer(drawing, { canDrag: (name) => this.own(name), drop: (from, to) => this.swap(from, to, this.cap(to)) });
    const named = () => {
      const text = (name) => form.elements[`account-1-${name}`]?.value ?? "";
      write(form.querySelector("[data-screen-name]"), [text("user_id"), text("display_name")].filter(Boolean).join(" "));
    };
    form.addEventListener("input", named);
    named();
    this.showAll();
    this.last = this.state();
    const bad = this.names.find((name) => this.editors.get(name).querySelector("[aria-invalid=true], .gs-error"));
    this.open(bad ?? this.names.find((name) => name.startsWith("mpk")) ?? this.names[0]);
  }

  // --- what stands on a key --------------------------------------------------------------------------------------

  place(name) { return this.caps.findIndex((cap) => cap.dataset.cap === name); }
  cap(name) { return this.caps[this.place(name)]; }
  field(name, part) { return this.form.elements[`key-${name}-${part}`]; }
  title(name) { return this.editors.get(name).dataset.title; }
  read(name) { return Object.fromEntries(PARTS.map((part) => [part, this.field(name, part).value])); }
  own(name) { return Boolean(this.field(name, "mode").value || this.field(name, "value").value || this.field(name, "label").value); }

  write(name, content) {
    for (const part of PARTS) this.field(name, part).value = content[part];
    this.show(name);
  }

  blank(name) { return { mode: "", value: "", label: "", account: this.field(name, "account").options[0]?.value ?? "1" }; }

  /** In words: "BLF 1002 Reception". */
  words(name) {
    const [mode, value, label] = ["mode", "value", "label"].map((part) => this.field(name, part));
    return [mode.value ? mode.selectedOptions[0].textContent : "", value.value, label.value].filter(Boolean).join(" ");
  }

  // --- showing -----------------------------------------------------------------------------------------------------

  showAll() {
    this.names.forEach((name) => this.show(name));
    this.legend();
  }

  show(name) {
    const [editor, cap, mode] = [this.editors.get(name), this.cap(name), this.field(name, "mode")];
    const origin = editor.querySelector("[data-inherited]");
    const guarded = editor.dataset.protected !== undefined;
    const inherited = Boolean(origin) && (guarded || !mode.value); // from a layer or the team
    const own = Boolean(mode.value);
    const text = inherited ? origin.dataset.inherited
      : this.field(name, "label").value || this.field(name, "value").value || (own ? mode.selectedOptions[0].textContent : "");
    const place = cap.querySelector("[data-cap-text]");
    const shown = write(place, text);
    const broken = Boolean(editor.querySelector(".gs-error"));
    const theirs = Boolean(editor.querySelector("[data-theirs]"));
    cap.classList.toggle("gs-cap-set", own || inherited);
    cap.classList.toggle("gs-cap-inherited", inherited);
    cap.classList.toggle("gs-cap-bad", broken);
    cap.classList.toggle("gs-cap-theirs", theirs && !broken);
    editor.classList.toggle("gs-key-set", own);
    const words = inherited ? origin.textContent : this.words(name) || gettext("not set");
    const more = [broken && gettext("has an error"), theirs && gettext("changed by somebody else")].filter(Boolean);
    const label = `${this.title(name)}: ${[words, ...more].join(", ")}`;
    cap.setAttribute("aria-label", label);
    cap.querySelector("title").textContent = label;
    const cut = editor.querySelector("[data-cut]");
    cut.hidden = shown === text || !own;
    cut.textContent = cut.hidden ? "" : gettext("There is room for about “{text}” on the phone.", { text: `\u2068${shown.trim()}\u2069` });
    this.field(name, "value").placeholder = own ? (NEEDS_NO_VALUE.has(mode.value) ? "" : gettext("number")) : gettext("value");
  }

  /** Below the drawing: whose keys the dashed ones are. */
  legend() {
    const owners = new Map();
    for (const cap of this.caps.filter((one) => one.classList.contains("gs-cap-inherited"))) {
      const { owner } = this.editors.get(cap.dataset.cap).querySelector("[data-owner]").dataset;
      owners.set(owner, (owners.get(owner) ?? 0) + 1);
    }
    const line = this.form.querySelector("[data-legend]");
    line.hidden = !owners.size;
    const parts = [...owners].map(([owner, count]) => ngettext("{count} key from {owner}", "{count} keys from {owner}", count, { owner }));
    line.textContent = gettext("Dashed: {parts}.", { parts: parts.join(", ") });
  }

  /** Make a key the one whose editor is open. */
  open(name) {
    for (const [one, editor] of this.editors) {
      editor.classList.toggle("gs-key-open", one === name);
      this.cap(one).classList.toggle("gs-cap-here", one === name);
      this.cap(one).setAttribute("aria-expanded", String(one === name));
    }
    this.rove(this.cap(name));
  }

  edit(name) {
    this.open(name);
    const mode = this.field(name, "mode");
    const target = mode.value && !NEEDS_NO_VALUE.has(mode.value) ? this.field(name, "value") : mode;
    const bad = this.editors.get(name).querySelector("[aria-invalid=true]");
    (bad ?? target).focus({ preventScroll: true });
    this.editors.get(name).scrollIntoView({ block: "nearest" });
  }

  /** One key can be reached by Tab, the others by the arrows. */
  rove(cap) {
    if (cap) for (const one of this.caps) one.setAttribute("tabindex", one === cap ? "0" : "-1");
  }

  // --- by hand -------------------------------------------------------------------------------------------------------

  typed(name, event) {
    // A number typed into an empty MPK is meant to be watched; that is what these keys are for.
    const mode = this.field(name, "mode");
    if (name.startsWith("mpk") && event.target === this.field(name, "value") && event.target.value && !mode.value) mode.value = "blf";
    this.show(name);
    this.legend();
  }

  clicked(event) {
    const cap = event.target.closest("[data-cap]");
    if (cap) this.edit(cap.dataset.cap);
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (act === "keys-undo") this.undo();
    if (act === "keys-all") this.toggleAll(event.target.closest("[data-act]"));
    const name = event.target.closest("[data-key-editor]")?.dataset.keyEditor;
    if (!name) return;
    if (act === "key-clear") this.clear(name);
    if (act === "key-back" || act === "key-on") this.push(name, act === "key-back" ? -1 : 1, (to) => {
      this.open(to);
      this.editors.get(to).querySelector(`[data-act=${act}]`).focus();
    });
  }

  toggleAll(button) {
    const all = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(all));
    this.form.querySelector(".gs-key-lists").classList.toggle("gs-key-lists-all", all);
  }

  capKey(event) {
    const cap = event.target.closest("[data-cap]");
    if (!cap || event.ctrlKey || event.metaKey) return;
    const name = cap.dataset.cap;
    const way = DIRECTIONS[event.key];
    let used = true;
    if (way && event.altKey) this.push(name, way[0] + way[1], (to) => this.cap(to).focus());
    else if (way) this.neighbour(cap, way)?.focus();
    else if (event.key === "Home" || event.key === "End") this.caps.at(event.key === "Home" ? 0 : -1).focus();
    else if (event.key === "Enter" || event.key === " ") this.edit(name);
    else if (event.key === "Delete" || event.key === "Backspace") this.clear(name);
    else used = false;
    if (used) event.preventDefault();
  }

  /** The nearest key in that direction, as the eye sees it. */
  neighbour(cap, [x, y]) {
    const middle = (one) => {
      const box = one.querySelector(".gs-cap-body").getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    };
    const [fromX, fromY] = middle(cap);
    const found = this.caps.filter((one) => one !== cap).map((one) => {
      const [toX, toY] = middle(one);
      const [along, aside] = x ? [(toX - fromX) * x, Math.abs(toY - fromY)] : [(toY - fromY) * y, Math.abs(toX - fromX)];
      return { one, along, far: along + aside * 3 };
    }).filter(({ along }) => along > 4).sort((a, b) => a.far - b.far);
    return found[0]?.one ?? this.caps[this.caps.indexOf(cap) + x + y];
  }

  // --- moving and clearing ---------------------------------------------------------------------------------------------

  clear(name) {
    if (!this.own(name)) {
      const words = gettext("{key} has nothing of its own to clear.", { key: this.title(name) });
      return this.refuse(words);
    }
    this.write(name, this.blank(name));
    this.note();
    announce(gettext("{key} is cleared.", { key: this.title(name) }));
  }

  push(name, step, then) {
    const to = this.names[this.names.indexOf(name) + step];
    if (!to) return this.refuse(gettext("There is no further key in this direction."));
    if (this.swap(name, to)) then(to);
  }

  /** Exchange what stands on two keys; false, with words, if one of them cannot take it. */
  swap(from, to, focus = null) {
    const [a, b] = [this.read(from), this.read(to)];
    const no = (!this.own(from) && gettext("{key} has nothing of its own to move.", { key: this.title(from) }))
      || this.objection(to, a.mode) || this.objection(from, b.mode);
    if (no) return this.refuse(no);
    this.write(from, this.own(to) ? b : this.blank(from));
    this.write(to, a);
    this.note();
    if (focus) {
      this.open(to);
      focus.focus();
    }
    announce(gettext("{what} is on {key} now.", { what: this.words(to), key: this.title(to) }));
    return true;
  }

  /** Why a key cannot take this mode; empty if it can. */
  objection(name, mode) {
    const guard = this.editors.get(name).dataset.protected;
    if (guard !== undefined) return gettext("{key} is protected by {owner}. Change it there.", { key: this.title(name), owner: guard });
    const options = [...this.field(name, "mode").options];
    if (options.some((one) => one.value === mode)) return "";
    const known = this.form.querySelector(`.gs-key-mode option[value="${CSS.escape(mode)}"]`);
    return gettext("{key} cannot do {mode}. Choose another key.", { key: this.title(name), mode: known?.textContent ?? mode });
  }

  refuse(words) {
    toast(words, "bad");
    return false;
  }

  // --- the way back ------------------------------------------------------------------------------------------------------

  state() { return JSON.stringify(this.names.map((name) => this.read(name))); }

  /** Remember what was before, if something has changed; everybody hears of it as of typing. */
  note() {
    const now = this.state();
    if (now === this.last) return;
    this.past.push(this.last);
    this.past.splice(0, this.past.length - MAX_UNDO);
    this.last = now;
    this.changed();
  }

  changed() {
    this.legend();
    const button = this.form.querySelector("[data-act=keys-undo]");
    if (button) button.disabled = !this.past.length;
    this.form.dispatchEvent(new Event("input", { bubbles: true }));
  }

  undo() {
    const before = this.past.pop();
    if (before === undefined) return;
    JSON.parse(before).forEach((content, at) => this.write(this.names[at], content));
    this.last = before;
    this.changed();
    announce(gettext("The last change of the keys is undone."));
  }

  undoKey(event) {
    const isUndo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
    // In a text the browser's own undo is meant.
    if (!isUndo || !this.past.length || event.target.matches("input:not([type=checkbox])")) return;
    event.preventDefault();
    this.undo();
  }
}
