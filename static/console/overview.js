// The overview: pictures beside the lists that the server sent, redrawn when something happened. unfold's shell brings
// Chart.js. Everything that a picture shows stands in a list or table too, so it is hidden from screen readers.

import { copy } from "./actions.js";
import { debounced, follow } from "./live.js";
import { Refused, send } from "./net.js";
import { parse, remember, swapContent } from "./swap.js";
import { refresh } from "./times.js";
import { gettext } from "./words.js";

const REFRESH_MS = 3000; // at most once in this time, however much happens
const LISTENER_MS = 10000;
const LABEL_SHARE = 0.38; // of a picture's width, at most, for the names beside its bars
const here = document.getElementById("overview");
const Chart = window.Chart;
const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
const charts = [];
let span = "hours";
let drawn = read(document);

function read(root) {
  return JSON.parse(root.getElementById("drawn").textContent);
}

const palette = new Map(); // read anew with each redraw: the theme may have changed

function colour(name) {
  if (!palette.has(name)) palette.set(name, getComputedStyle(document.getElementById("console")).getPropertyValue(name).trim());
  return palette.get(name);
}

// --- pictures -------------------------------------------------------------------------------------------------------

/** The bars of one series. `of` picks its numbers from what the server sent, `paint` names a colour of console.css. */
const series = (label, paint, of) => ({ label, paint, of });

function bars(id, { stacked = false, sideways = false, shown, sets }) {
  const canvas = document.getElementById(id);
  if (!canvas) return;
  const chart = new Chart(canvas, {
    type: "bar",
    data: { labels: [], datasets: sets.map(({ label, paint }) => ({ label, data: [], maxBarThickness: 30, ...painted(() => colour(paint)) })) },
    options: {
      indexAxis: sideways ? "y" : "x",
      interaction: { mode: "index", axis: sideways ? "y" : "x", intersect: false },
      scales: {
        x: { stacked, grid: { display: sideways }, beginAtZero: true, ticks: { maxRotation: 0, precision: 0 } },
        y: { stacked, grid: { display: !sideways }, beginAtZero: true, ticks: { precision: 0 } },
      },
      plugins: { colors: false, legend: { display: sets.length > 1, position: "bottom", labels: { boxWidth: 11, boxHeight: 11 } } },
      ...common(() => shown().urls),
    },
  });
  if (sideways) chart.options.scales.y.ticks.callback = function (value) { return shortened(chart, this.getLabelForValue(value)); };
  prepare(chart, () => {
    const now = shown();
    chart.data.labels = now.labels;
    sets.forEach((one, at) => { chart.data.datasets[at].data = one.of(now); });
    for (const axis of ["x", "y"]) {
      chart.options.scales[axis].grid.color = colour("--gs-line");
      chart.options.scales[axis].ticks.color = colour("--gs-quiet");
    }
    chart.options.plugins.legend.labels.color = colour("--gs-text");
  });
}

/** As much of a label as there is room for beside the bars, from its beginning; all of it is told on hover. */
function shortened(chart, text) {
  const [{ ctx }, most, letters] = [chart, chart.width * LABEL_SHARE, [...text]];
  const { size, family } = Chart.defaults.font;
  ctx.save();
  ctx.font = `${size}px ${family}`;
  let shown = text;
  while (letters.length && ctx.measureText(shown).width > most) shown = `${(letters.pop(), letters.join("").trimEnd())}…`;
  ctx.restore();
  return shown;
}

function round(id, shown) {
  const canvas = document.getElementById(id);
  if (!canvas) return;
  const paint = ({ dataIndex }) => colour(`--gs-${shown().names[dataIndex]}`) || colour("--gs-side");
  const chart = new Chart(canvas, {
    type: "doughnut",
    data: { labels: [], datasets: [{ data: [], ...painted(paint), borderColor: () => colour("--gs-surface"), borderWidth: 2 }] },
    options: { cutout: "62%", plugins: { colors: false, legend: { display: false } }, ...common(() => shown().urls) },
  });
  prepare(chart, () => {
    const { labels, counts } = shown();
    chart.data.labels = labels;
    chart.data.datasets[0].data = counts;
  });
}

const painted = (paint) => ({ backgroundColor: paint, hoverBackgroundColor: paint });

/** What all pictures share: they fill their place, and a click leads to what was counted. */
function common(urls) {
  return {
    responsive: true,
    maintainAspectRatio: false,
    animation: still ? false : { duration: 350 },
    onClick: (event, parts) => {
      const url = parts.length && urls()[parts[0].index];
      if (url) location.assign(url);
    },
    onHover: (event, parts) => {
      event.native.target.style.cursor = parts.length && urls()[parts[0].index] ? "pointer" : "";
    },
  };
}

function prepare(chart, fill) {
  charts.push({ chart, fill });
  fill();
  chart.update("none");
}

function redraw() {
  palette.clear();
  for (const { chart, fill } of charts) {
    fill();
    chart.update("none"); // bars that grew do not dance
  }
}

function draw() {
  const models = document.querySelector("[data-rows]");
  models?.style.setProperty("--rows", models.dataset.rows);
  round("draw-stages", () => drawn.stages);
  bars("draw-models", {
    stacked: true,
    sideways: true,
    shown: () => drawn.models,
    sets: [
      series(gettext("Known hole"), "--gs-bad", (now) => now.unsafe),
      series(gettext("No known hole"), "--gs-good", (now) => now.safe),
      series(gettext("Firmware not known"), "--gs-side", (now) => now.unclear),
    ],
  });
  bars("draw-arrivals", { shown: () => drawn[span], sets: [series(gettext("New phones"), "--gs-seen", (now) => now.counts)] });
  bars("draw-downloads", {
    stacked: true,
    shown: () => drawn.downloads,
    sets: [
      series(gettext("Whole"), "--gs-good", (now) => now.complete),
      series(gettext("Had already"), "--gs-fetched", (now) => now.unchanged),
      series(gettext("Parts and keys"), "--gs-side", (now) => now.partial),
      series(gettext("Broken off"), "--gs-warn", (now) => now.broken_off),
      series(gettext("404"), "--gs-bad", (now) => now.refused),
    ],
  });
}

// --- what the server says -----------------------------------------------------------------------------------------

async function fetchFigures() {
  try {
    const answer = await send(here.dataset.liveUrl);
    if (!answer.ok) return;
    const page = parse(await answer.text());
    if (Boolean(page.getElementById("ov-stages")) !== Boolean(document.getElementById("ov-stages"))) {
      location.reload(); // the first phone has come, or the last one went
      return;
    }
    for (const fresh of page.querySelectorAll("[data-part]")) swapContent(document.getElementById(fresh.id), fresh);
    const before = JSON.stringify(drawn);
    drawn = read(page);
    if (JSON.stringify(drawn) !== before) redraw();
  } catch (error) {
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  }
}

const update = debounced(fetchFigures, REFRESH_MS);

here.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-span], [data-act=copy-text]");
  if (!pressed) return;
  if (pressed.dataset.act) {
    copy(document.getElementById(pressed.dataset.from).textContent);
    return;
  }
  span = pressed.dataset.span;
  for (const one of here.querySelectorAll("[data-span]")) one.setAttribute("aria-pressed", String(one === pressed));
  redraw();
});

remember(document);
refresh();
if (Chart) {
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  for (const choice of here.querySelectorAll(".gs-switch")) choice.hidden = false;
  draw();
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["class"] });
}
follow({ onEvents: update, onPoll: update });
setInterval(() => { if (!document.hidden) update(); }, LISTENER_MS);
