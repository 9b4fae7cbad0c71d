// The link to the server: one WebSocket that reconnects by itself and catches up; polling while it cannot be had.

import { AWAY, databaseAway, sessionEnded, signedIn } from "./net.js";
import { lift, stand, stands } from "./standing.js";
import { gettext } from "./words.js";

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15000;
const TOO_MUCH_RETRY_MS = 60000; // the server found that this page says too much
const SPEAK_MS = 1000;
const SILENT_MS = 12000; // the server says something every 5 s
const ASKED_MS = 8000; // whether it is there at all: it waits 1.5 s for its database, and may be busy
const NO_DATABASE = "no database"; // what /healthz says then
const POLL_MS = 5000;
const LONGEST_PAUSE_MS = 2000;
const WORDS = {
  live: gettext("live"), stale: gettext("not up to date"), connecting: gettext("connecting"),
  reconnecting: gettext("reconnecting"), ended: gettext("signed out"),
};
let link = ""; // how it is

const heard = (detail) => document.dispatchEvent(new CustomEvent("gs:heard", { detail }));

/** Say on the page how its link to the server is; a live one is of no use while the server has no data. */
export function show(newLink) {
  link = newLink;
  const state = link === "live" && stands(AWAY) ? "stale" : link;
  for (const place of document.querySelectorAll("[data-testid=connection]")) {
    if (place.dataset.state === state) continue;
    place.dataset.state = state;
    place.querySelector("[data-state-text]").textContent = WORDS[state];
  }
}

document.addEventListener("gs:standing", () => { if (link) show(link); });

/** Follow events. `onEvents(message)` gets what is new, `onPoll()` is called instead while there is no link. */
export function follow({ onEvents, onPoll }) {
  const root = document.getElementById("console");
  let last = Number(root.dataset.lastId) || 0;
  let retry = FIRST_RETRY_MS;
  let socket = null;
  let heardAt = 0;
  let timer = 0;
  let ended = false;
  let notBefore = 0;

  function connect() {
    clearTimeout(timer);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const mine = (socket = new WebSocket(`${scheme}//${location.host}${root.dataset.socket}`));
    mine.onopen = () => {
      heardAt = Date.now();
      mine.send(JSON.stringify({ since: last }));
    };
    mine.onmessage = (event) => {
      heardAt = Date.now();
      retry = FIRST_RETRY_MS;
      ended = false;
      show("live");
      lift(AWAY);
      signedIn();
      const message = JSON.parse(event.data);
      heard(message);
      if (message.type === "live.events") {
        last = Math.max(last, message.last);
        onEvents(message);
      }
    };
    mine.onclose = (event) => {
      if (mine !== socket) return;
      socket = null;
      if (event.code === 4401 || event.code === 4403) {
        sessionEnded(event.code === 4403 ? gettext("Your account may not see phones any more.") : undefined);
        return;
      }
      show("reconnecting");
      ask();
      if (event.code === 4429) {
        retry = TOO_MUCH_RETRY_MS;
        notBefore = Date.now() + TOO_MUCH_RETRY_MS / 2;
      }
      timer = setTimeout(connect, retry * (0.7 + Math.random() * 0.6));
      retry = Math.min(retry * 2, LAST_RETRY_MS);
    };
  }

  /** Without a link: is it the link, which polling makes up for, or the server? */
  async function ask() {
    try {
      const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(ASKED_MS) });
      if (answer.status < 502) {
        lift(AWAY);
        return;
      }
      if (answer.status === 503 && (await answer.text()) === NO_DATABASE) {
        databaseAway();
        return;
      }
    } catch {
      // said below
    }
    if (!socket || socket.readyState !== WebSocket.OPEN) {
      stand(AWAY, gettext("The server cannot be reached. What stands here is not up to date; it goes on by itself as soon as the server is back."));
    }
  }

  function hurry() {
    if (document.hidden) return;
    if (!socket && Date.now() >= notBefore) {
      retry = FIRST_RETRY_MS;
      connect();
    }
  }

  setInterval(() => {
    if (ended || document.hidden) return;
    if (socket && socket.readyState === WebSocket.OPEN && Date.now() - heardAt > SILENT_MS) socket.close();
    if (!socket || socket.readyState !== WebSocket.OPEN) {
      onPoll();
      heard({ type: "poll" });
    }
  }, POLL_MS);
  // What an open drawer says to those who have the same phone open: the newest counts, once a second. While there is no
  // link, nobody hears it.
  let words = null;
  const speak = debounced(() => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(words));
  }, SPEAK_MS);
  document.addEventListener("gs:speak", ({ detail }) => {
    words = detail;
    speak();
  });
  // One truth: whoever notices the end of the session, the indicator says it. Coming back to this tab asks anew.
  document.addEventListener("gs:ended", () => {
    ended = true;
    clearTimeout(timer);
    const open = socket;
    socket = null;
    open?.close();
    show("ended");
  });
  document.addEventListener("gs:back", () => {
    ended = false;
    if (!socket) connect();
  });
  document.addEventListener("visibilitychange", hurry);
  window.addEventListener("focus", hurry);
  window.addEventListener("online", hurry);
  connect();
}

/** Call `work` at once, then at most every `ms`; never twice at a time, and once more if asked meanwhile. What took long
 * is left alone for as long, at most `longest` ms: many pages that all ask a busy server again at once keep it busy. */
export function debounced(work, ms, longest = LONGEST_PAUSE_MS) {
  let timer = 0;
  let running = false;
  let again = false;
  let endedAt = -Infinity;
  let took = 0;
  async function run() {
    timer = 0;
    if (running) {
      again = true;
      return;
    }
    running = true;
    const begunAt = performance.now();
    try {
      await work();
    } finally {
      running = false;
      endedAt = performance.now();
      took = Math.min(endedAt - begunAt, longest);
      if (again) {
        again = false;
        request();
      }
    }
  }
  function request() {
    if (!timer) timer = setTimeout(run, Math.max(0, endedAt + Math.max(ms, took) - performance.now()));
  }
  return request;
}
