// Dragging a key of the drawing onto another one: mouse, pen and touch alike; Escape lets go.

const FAR_ENOUGH_PX = 6; // less is a click
const HOLD_MS = 250; // a finger that moves at once scrolls the page

/** `canDrag(name)` says whether there is something on the key; `drop(from, to)` is called where it was let go. */
export function moveByPointer(drawing, { canDrag, drop }) {
  let drag = null;

  const capAt = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest?.("[data-cap]");

  function begin(event) {
    const cap = event.target.closest("[data-cap]");
    if (!cap || event.button !== 0 || !event.isPrimary || !canDrag(cap.dataset.cap)) return;
    drag = { cap, x: event.clientX, y: event.clientY, on: false, held: event.pointerType !== "touch", over: null, id: event.pointerId };
    if (!drag.held) {
      const mine = drag;
      drag.timer = setTimeout(() => {
        mine.held = true;
        if (drag === mine) lift();
      }, HOLD_MS);
    }
  }

  function lift() {
    drag.on = true;
    drag.ghost = document.createElement("div");
    drag.ghost.className = "gs-key-ghost";
    drag.ghost.setAttribute("aria-hidden", "true");
    drag.ghost.textContent = drag.cap.querySelector("[data-cap-text]").textContent || drag.cap.dataset.cap;
    (drawing.closest("dialog") ?? document.body).append(drag.ghost);
    drag.cap.classList.add("gs-cap-lifted");
    drawing.setPointerCapture?.(drag.id);
    follow(drag);
  }

  function follow({ x, y }) {
    drag.ghost.style.transform = `translate(${x}px, ${y}px)`;
  }

  function move(event) {
    if (!drag || event.pointerId !== drag.id) return;
    const far = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > FAR_ENOUGH_PX;
    if (!drag.on) {
      if (!far) return;
      if (!drag.held) return end(); // a finger that scrolls
      lift();
    }
    event.preventDefault();
    follow({ x: event.clientX, y: event.clientY });
    const over = capAt(event);
    if (over !== drag.over) {
      drag.over?.classList.remove("gs-cap-over");
      drag.over = over && over !== drag.cap ? over : null;
      drag.over?.classList.add("gs-cap-over");
    }
  }

  function end(dropped = false) {
    if (!drag) return;
    const { cap, over, on, ghost, timer } = drag;
    clearTimeout(timer);
    drag = null;
    ghost?.remove();
    cap.classList.remove("gs-cap-lifted");
    over?.classList.remove("gs-cap-over");
    if (!on) return;
    // The click that follows is the end of the drag, not a wish to edit.
    drawing.addEventListener("click", (event) => event.stopPropagation(), { once: true, capture: true });
    setTimeout(() => drawing.dispatchEvent(new Event("click")), 0);
    if (dropped && over) drop(cap.dataset.cap, over.dataset.cap);
  }

  drawing.addEventListener("pointerdown", begin);
  drawing.addEventListener("pointermove", move);
  drawing.addEventListener("pointerup", () => end(true));
  drawing.addEventListener("pointercancel", () => end());
  // While a key is held by a finger the page must not scroll away under it.
  drawing.addEventListener("touchmove", (event) => { if (drag?.on) event.preventDefault(); }, { passive: false });
  drawing.addEventListener("contextmenu", (event) => { if (drag) event.preventDefault(); });
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && drag?.on) {
      event.preventDefault();
      event.stopPropagation();
      end();
    }
  });
}
