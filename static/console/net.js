// Requests to our own server: they say that a script asks, carry the CSRF token, and notice a session that ended.

import { lift, stand, stands } from "./standing.js";
import { toast } from "./toast.js";
import { gettext } from "./words.js";

const ENDED = "session-ended";
export const AWAY = "server-away";
const root = () => document.getElementById("console");

/** The CSRF token of now: a sign-in, in another tab too, makes another one than the page came with. */
export const token = () => /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] ?? root().dataset.csrf;

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
  if (answer.status !== 403 && answer.status < 500) signedIn();
  if (answer.ok) lift(AWAY);
  else if (method === "GET" && (await isAway(answer))) databaseAway();
  return answer;
}

/** Whether our server answers, and its database does not: a proxy in front of a server that is away says 503 too. */
async function isAway(answer) {
  if (answer.status !== 503 || !(answer.headers.get("content-type") || "").includes("json")) return false;
  return Boolean((await answer.clone().json()).away);
}

/** Say so until it is over. */
export function databaseAway() {
  stand(AWAY, gettext("The database is away. What stands here is not up to date; it goes on by itself as soon as the database is back."));
}

/** POST with the address that the person saw, and show the answer's words. Returns whether it was done. */
export async function act(url, host, more = {}) {
  try {
    const answer = await send(url, { method: "POST", body: new URLSearchParams({ host: host ?? "", ...more }) });
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
  if (answer.status === 403) return gettext("Refused. Sign in again in another tab and repeat it here; what you typed stays. If it is refused again, ask an administrator.");
  if (answer.status === 404) return gettext("This phone is not listed any more.");
  return gettext("The server answered {status}. Try again; its log says more.", { status: answer.status });
}

/** A standing line with the way back; what is typed stays on the page, and can be sent after a new sign-in. */
export function sessionEnded(words = gettext("Your session has ended.")) {
  const url = `${root().dataset.loginUrl}?next=${encodeURIComponent(location.pathname + location.search)}`;
  stand(ENDED, words, { label: gettext("Sign in again"), url });
  document.dispatchEvent(new CustomEvent("gs:ended"));
}

/** The server has answered somebody who is signed in: whoever stood before the end of a session goes on. */
export function signedIn() {
  if (!stands(ENDED)) return;
  lift(ENDED);
  document.dispatchEvent(new CustomEvent("gs:back"));
}

/** What a save says that came to the end of the session. */
export const keptWords = () => gettext("Nothing was saved: sign in again first, then save. What you typed stays here.");

/** Whether a form that the browser itself sends would arrive; if not, says so, and what is typed stays. */
export async function wouldArrive() {
  try {
    await send(root().dataset.sessionUrl);
    return true;
  } catch (error) {
    const away = gettext("The server cannot be reached. Nothing was saved; your entries are still here.");
    toast(error instanceof Refused ? keptWords() : away, "bad");
    return false;
  }
}

// A form that the browser itself sends, after a sign-in in another tab.
document.addEventListener("submit", (event) => {
  const field = event.target.querySelector("input[name=csrfmiddlewaretoken]");
  if (field) field.value = token();
}, true);
