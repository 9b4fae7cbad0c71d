// A page that only has to show its points in time as people say them.

import { refresh } from "./times.js";

refresh();
