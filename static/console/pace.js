// The preview: how long the NOTIFYs take at the pace that is typed.

import { refresh } from "./times.js";
import { gettext } from "./words.js";

const pace = document.getElementById("pace");
const words = document.querySelector("[data-takes]");

function show() {
  const perMinute = Number(pace.value.replace(",", "."));
  const phones = Number(pace.dataset.touched);
  const seconds = (60 * phones) / perMinute;
  if (!phones || !(perMinute > 0)) words.textContent = "";
  else if (seconds < 90) words.textContent = gettext("The last of {phones} is told after about {seconds} s.", { phones, seconds: Math.ceil(seconds) });
  else words.textContent = gettext("The last of {phones} is told after about {minutes} minutes.", { phones, minutes: Math.ceil(seconds / 60) });
}

pace.addEventListener("input", show);
show();
refresh();
