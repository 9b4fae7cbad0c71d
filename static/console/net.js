// Requests to our own server: they say that a script asks, carry the CSRF token, and notice a session that ended.

import { toast } from "./toast.js";
import { gettext } from "./words.js";

const root = () => document.getElementById("console");

// The cookie's, which is another one after a new sign-in in another tab; the page's if a proxy hides cookies from scripts.
const token = () => /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? root().dataset.csrf;

export class Refused extends Error {}

/** Fetch `url`; returns the Response. Throws Refused after telling the person, or TypeError if the network is away. */
export async function send(url, { method = "GET", body = null, signal } = {}) {
  const headers = { "X-Requested-With": "fetch" };
  if (method !== "GET") headers["X-CSRFToken"] = token();
  const answer = await fetch(url, { method, body, headers, signal, credentials: "same-origin", redirect: "manual" });
  if (answer.status === 401 || answer.type === "opaqueredirect") {
    sessionEnded();
    throw new Refused("signed out");
  }
  return answer;
}

/** POST with the address that the person saw, and show the answer's words. Returns whether it was done. */
export async function act(url, host) {
  try {
    const answer = await send(url, { method: "POST", body: new URLSearchParams({ host: host ?? "" }) });
    const words = await wordsOf(answer);
    toast(words, answer.ok ? "good" : "bad");
    return answer.ok;
  } catch (error) {
    if (!(error instanceof Refused)) toast(gettext("The server cannot be reached. Nothing was done; try again."), "bad");
    return false;
  }
}

/** The message in a JSON answer, or plain words for its status. */
export async function wordsOf(answer) {
  if ((answer.headers.get("content-type") || "").includes("json")) {
    const said = await answer.json();
    if (typeof said.message === "string") return said.message;
  }
  if (answer.status === 403) return gettext("Refused. Reload the page and try again; if it stays, ask an administrator.");
  if (answer.status === 404) return gettext("This phone is not listed any more.");
  return gettext("The server answered {status}. Try again; its log says more.", { status: answer.status });
}

/** A standing line with the way back; what is typed stays on the page. */
export function sessionEnded(words = gettext("Your session has ended.")) {
  // What is outside of an open dialog cannot be seen or pressed.
  const place = document.querySelector("dialog[open] .gs-drawer-body") ?? document.querySelector("dialog[open]") ?? root();
  if (place.querySelector(":scope > [data-testid=session-ended]")) return;
  const line = document.createElement("p");
  line.className = "gs-notice gs-notice-bad";
  line.setAttribute("role", "alert");
  line.dataset.testid = "session-ended";
  const link = document.createElement("a");
  link.href = `${root().dataset.loginUrl}?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = gettext("Sign in again");
  if (place !== root()) link.target = "_blank"; // then what was typed here can be saved
  line.append(`${words} `, link);
  place.prepend(line);
  line.scrollIntoView({ block: "nearest" });
}
