// The page that says that the database is away: it asks whether it is back, and becomes the page that was asked for.

const AGAIN_MS = 3000;
const ANSWER_MS = 8000;

async function ask() {
  try {
    const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    if (answer.ok) {
      location.reload();
      return;
    }
  } catch {
    // The server is away too: it is asked again.
  }
  soon();
}

/** Many pages do not come back at the same moment. */
function soon() {
  setTimeout(ask, AGAIN_MS * (0.7 + Math.random() * 0.6));
}

soon();
