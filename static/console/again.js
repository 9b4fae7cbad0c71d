// The page that says that the database is away: it asks whether it is back, and becomes the page that was asked for.

const AGAIN_MS = 3000;

async function ask() {
  try {
    const answer = await fetch("/healthz", { cache: "no-store" });
    if (answer.ok) {
      location.reload();
      return;
    }
  } catch {
    // The server is away too: it is asked again.
  }
  setTimeout(ask, AGAIN_MS);
}

setTimeout(ask, AGAIN_MS);
