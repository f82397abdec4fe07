// The page's controls. Files are sent to this server only, and their names not at all.

import * as api from "./api.js";
import { render } from "./history.js";
import { isSameModel, learnModel, modelOf } from "./models.js";
import { isTyping, setUpOverlay } from "./overlay.js";
import { atChosenPoint, chosenPoint, setUpPoints, showPoints } from "./points.js";
import { Queue } from "./queue.js";
import { setUpReports, showReports } from "./reports.js";
import { hide, show } from "./result.js";
import { modelText } from "./words.js";

// Statuses of refusals that another key may lift.
const LIFTED_BY_KEY = [401, 403, 429];

const byId = (id) => document.getElementById(id);
/** @type {import("./history.js").Film[]} */
let films = [];
let current = null;
let acceptedKey = null;
const queue = new Queue(refresh);

function refresh() {
  render(films, current, async (film) => {
    await choose(film);
    byId("result").focus(); // on a phone it is far below the list
  });
  const left = queue.left;
  byId("cancel").hidden = left === 0;
  byId("clear").hidden = films.length === 0 || left > 0;
  const progress = left > 0 || films.length > 1 ? progressText() : "";
  // Screen readers announce every assignment, even of the same text.
  if (byId("progress").textContent !== progress) byId("progress").textContent = progress;
}

function progressText() {
  const refused = films.filter((film) => film.problem).length;
  const answered = films.filter((film) => film.answer).length;
  return `${answered} of ${films.length} films answered${refused > 0 ? `, ${refused} refused` : ""}`;
}

async function choose(film) {
  current = film;
  showReports(film);
  await changed(film);
}

/** Redraw after a film has changed. */
async function changed(film) {
  refresh();
  if (film === current) await show(film, chosenPoint());
}

function add(files) {
  const added = Array.from(files, (file) => ({ name: file.name, file, state: "Waiting" }));
  if (added.length === 0) return;
  films.push(...added);
  choose(added[0]);
  added.forEach(send);
}

function send(film) {
  film.state = "Waiting";
  film.problem = undefined;
  changed(film);
  queue.add(async (signal) => {
    const key = api.currentKey();
    setState(film, "Being read…");
    try {
      film.answer = await api.judge(film.file, chosenPoint(), signal, (seconds) =>
        setState(film, `The server is busy; trying again in ${seconds} s`));
      film.decided = atChosenPoint(film.answer);
      if (!modelOf(film.answer)) showModel(); // the model was changed meanwhile
    } catch (fault) {
      const stopped = new api.Problem(0, "Stopped", "Sending was stopped before the answer came.");
      film.problem = fault instanceof api.Problem ? fault : fault.name === "AbortError" ? stopped : unexpected(fault);
      if (film.problem.status === 401) byId("access").open = true;
      const keyNow = api.currentKey();
      // A key that was accepted while the film was on its way.
      if (waitsForKey(film) && keyNow === acceptedKey && keyNow !== key) return send(film);
    }
    await changed(film);
    if (film === current) bringIntoView(byId(film.problem?.status === 401 ? "access" : "result"));
  });
}

function setState(film, state) {
  film.state = state;
  changed(film);
}

function waitsForKey(film) {
  return LIFTED_BY_KEY.includes(film.problem?.status);
}

/** Scroll to a section on a narrow screen, where it is far from the button pressed; not while the reader is typing. */
function bringIntoView(section) {
  if (!matchMedia("(max-width: 60rem)").matches || isTyping()) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  requestAnimationFrame(() => section.scrollIntoView({ behavior })); // once the list above it has its height
}

/** Decide every film again at the chosen point, without sending it again. */
function decideAll() {
  for (const film of films.filter((film) => film.answer)) film.decided = atChosenPoint(film.answer);
  if (current) changed(current);
}

/** Request Grad-CAM of another finding, for which the same model judges the film again. */
async function explanationFor(film, target) {
  const answer = await api.explainFor(film.file, film.answer.operating_point, target);
  if (isSameModel(answer, film.answer)) return answer.explanation;
  throw new api.Problem(0, "Another model", `The server now uses model ${modelText(answer)}. Choose the film again.`);
}

function unexpected(fault) {
  return new api.Problem(0, "This page failed", String(fault.message ?? fault));
}

function setUpFilms() {
  byId("films").addEventListener("change", (event) => {
    add(event.target.files);
    event.target.value = "";
  });
  const drop = byId("drop");
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  // A film that misses the box must not be opened in place of the page.
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
  drop.addEventListener("drop", (event) => add(event.dataTransfer.files));
  byId("phantom").addEventListener("click", async () => {
    const response = await fetch("ui/phantom.png");
    add([new File([await response.blob()], "drawing")]);
  });
  byId("cancel").addEventListener("click", () => {
    queue.stop();
    for (const film of films) {
      if (!film.answer && !film.problem) film.problem = new api.Problem(0, "Stopped", "The film was not sent.");
    }
    changed(current);
  });
  byId("clear").addEventListener("click", () => {
    films = [];
    current = null;
    hide();
    refresh();
    byId("films").focus();
  });
}

/** @returns {Promise<boolean>} whether the server accepts the key */
async function showModel() {
  const key = api.currentKey();
  try {
    const health = await api.health();
    const isFallback = health.fallback_in_use;
    const fallback = isFallback ? " (another release or profile than the chosen one, which could not be trusted)" : "";
    byId("model").textContent = health.status === "ok" ? `Model ${modelText(health)}${fallback}` : "No model loaded";
    const info = await api.modelInfo();
    learnModel(info);
    showPoints(info.operating_points);
    decideAll();
    if (!key) return false;
    byId("key-state").textContent = "The key is accepted.";
    acceptedKey = key;
    return true;
  } catch (problem) {
    if (problem.status !== 401) byId("key-state").textContent = problem.message;
    else if (key) byId("key-state").textContent = "The server does not accept this key.";
    else byId("key-state").textContent = "This server asks for a key.";
    byId("access").open ||= problem.status === 401;
    return false;
  }
}

function setUpKey() {
  const keep = byId("keep-key");
  byId("key").value = api.currentKey();
  keep.checked = api.keyIsKept();
  byId("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    api.useKey(byId("key").value, keep.checked);
    if (!(await showModel())) return;
    byId("key").blur(); // so that the page may scroll to the answer
    films.filter(waitsForKey).forEach(send);
  });
}

function setUpTheme() {
  const root = document.documentElement;
  const toggle = byId("theme");
  const set = (theme) => {
    root.dataset.theme = theme;
    toggle.textContent = theme === "dark" ? "Light" : "Dark";
    toggle.setAttribute("aria-label", `Change to ${toggle.textContent.toLowerCase()} colours`);
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  set(system.matches ? "dark" : "light");
  system.addEventListener("change", () => set(system.matches ? "dark" : "light"));
  toggle.addEventListener("click", () => set(root.dataset.theme === "dark" ? "light" : "dark"));
}

setUpTheme();
setUpFilms();
setUpPoints(decideAll);
setUpKey();
setUpReports(refresh);
setUpOverlay(explanationFor);
showModel();
