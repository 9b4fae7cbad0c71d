// The page "Swap": times in the reader's words. All else is links and forms.

import { refresh } from "./times.js";

refresh();
