// Moments: relative in the text, absolute in the reader's own zone on hover.

import { gettext } from "./words.js";

// In the page's language, and there as the reader's browser has it: "3 Apr" for en-GB, "Apr 3" for en-US.
const page = document.documentElement.lang || "en";
const base = (language) => language.split("-")[0];
const language = navigator.languages.find((one) => base(one) === base(page)) ?? page;
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "narrow" });
const absolute = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });
const day = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [86400 * 30, "day", 86400]];

function words(at, now) {
  const seconds = Math.round((at - now) / 1000);
  if (Math.abs(seconds) < 3) return gettext("just now");
  for (const [below, unit, size] of STEPS) {
    if (Math.abs(seconds) < below) return relative.format(Math.round(seconds / size), unit);
  }
  return day.format(at);
}

const clock = new Intl.DateTimeFormat(language, { timeStyle: "short" });

/** What can stand behind "since": the time of today, or the day. */
function plain(at, now) {
  return new Date(now).toDateString() === at.toDateString() ? clock.format(at) : day.format(at);
}

/** How long it is until then, as on a clock that counts down. */
function left(at, now) {
  const seconds = Math.max(0, Math.ceil((at - now) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

const WORDS = { plain, left };

/** Write every moment inside `root` anew. */
export function refresh(root = document) {
  const now = Date.now();
  for (const time of root.querySelectorAll("time[data-moment]")) {
    const at = new Date(time.dateTime);
    if (!time.dataset.zoned) {
      time.title = absolute.format(at);
      time.dataset.zoned = "yes";
    }
    const text = (WORDS[time.dataset.moment] ?? words)(at, now);
    if (time.textContent !== text) time.textContent = text;
  }
}

setInterval(() => { if (!document.hidden) refresh(); }, 1000);
document.addEventListener("visibilitychange", () => refresh());
