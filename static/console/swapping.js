// The page "Swap": times in the reader's words, and the focus where one goes on. All else is links and forms.

import { refresh } from "./times.js";

refresh();
document.querySelector("[data-first]")?.focus();
