// Labels of the drawing, cut where the room on the phone ends.

const MAX_LETTERS = 64;
// As drawer.css has them, in units of the drawing.
const LCD_FONT = "12px monospace";
const PAPER_FONT = "600 12.5px Arial, Helvetica, sans-serif";
let measure = null;
const letters = typeof Intl.Segmenter === "function" ? new Intl.Segmenter() : null;
const split = (text) => (letters ? [...letters.segment(text)].map((one) => one.segment) : [...text]);

/** Put a label in its place, cut where the room ends as the phone does; what is shown. */
export function write(place, text) {
  if (!place) return text;
  const room = Number(place.dataset.fit);
  measure ??= document.createElement("canvas").getContext("2d");
  measure.font = place.classList.contains("gs-lcd-text") ? LCD_FONT : PAPER_FONT;
  const parts = split(text).slice(0, MAX_LETTERS);
  while (parts.length && measure.measureText(parts.join("")).width > room) parts.pop();
  const shown = parts.join("");
  place.textContent = shown;
  return shown;
}
