// A long press of a finger is what a right-click is for a mouse. Some browsers say so themselves, others do not.

const LONG_MS = 550;
const STILL_PX = 10;

/** Call `act(element, x, y)` when a finger rests on an element that `selector` matches, inside `root`. */
export function onLongPress(root, selector, act) {
  let timer = 0;
  let from = null;
  let done = false;
  const stop = () => clearTimeout(timer);
  root.addEventListener("pointerdown", (event) => {
    stop();
    done = false;
    const target = event.target.closest(selector);
    if (event.pointerType !== "touch" || !target || event.target.closest("button, input")) return;
    from = { x: event.clientX, y: event.clientY };
    timer = setTimeout(() => {
      done = true;
      act(target, from.x, from.y);
    }, LONG_MS);
  });
  root.addEventListener("pointermove", (event) => {
    if (from && Math.hypot(event.clientX - from.x, event.clientY - from.y) > STILL_PX) stop();
  });
  for (const name of ["pointerup", "pointercancel", "contextmenu", "scroll"]) root.addEventListener(name, stop);
  // The finger that is lifted after a long press does not follow the link below it.
  root.addEventListener("click", (event) => {
    if (!done) return;
    done = false;
    event.preventDefault();
    event.stopPropagation();
  }, true);
}
