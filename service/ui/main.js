// The page: what the controls do. Files never leave but for this server, and their names do not leave at all.

import * as api from "./api.js";
import { render } from "./history.js";
import { isTyping, setUpOverlay } from "./overlay.js";
import { atChosenPoint, chosenPoint, knowsPointsOf, learnPoints, setUpPoints } from "./points.js";
import { Queue } from "./queue.js";
import { setUpReports, showReports } from "./reports.js";
import { hide, show } from "./result.js";

// Refusals that another key may lift.
const LIFTED_BY_KEY = [401, 403, 429];

const place = (id) => document.getElementById(id);
/** @type {import("./history.js").Film[]} */
let films = [];
let current = null;
let acceptedKey = null;
const queue = new Queue(refresh);

function refresh() {
  render(films, current, async (film) => {
    await choose(film);
    place("result").focus(); // on a phone it lies far below the list
  });
  const left = queue.left;
  place("cancel").hidden = left === 0;
  place("clear").hidden = films.length === 0 || left > 0;
  const progress = left > 0 || films.length > 1 ? progressText() : "";
  if (place("progress").textContent !== progress) place("progress").textContent = progress; // else it is read out again
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

/** Something else is known of a film. */
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
      if (!knowsPointsOf(film.answer.model_version)) showModel(); // it was changed since
    } catch (fault) {
      const stopped = new api.Problem(0, "Stopped", "Sending was stopped before the answer came.");
      film.problem = fault instanceof api.Problem ? fault : fault.name === "AbortError" ? stopped : unexpected(fault);
      if (film.problem.status === 401) place("access").open = true;
      const keyNow = api.currentKey();
      if (waitsForKey(film) && keyNow === acceptedKey && keyNow !== key) return send(film); // accepted while it was on its way
    }
    await changed(film);
    if (film === current) bringIntoView(place(film.problem?.status === 401 ? "access" : "result"));
  });
}

function setState(film, state) {
  film.state = state;
  changed(film);
}

function waitsForKey(film) {
  return LIFTED_BY_KEY.includes(film.problem?.status);
}

/** On a narrow screen, where what comes lies far below what was pressed; but not from under a reader who writes. */
function bringIntoView(section) {
  if (!matchMedia("(max-width: 60rem)").matches || isTyping()) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  requestAnimationFrame(() => section.scrollIntoView({ behavior })); // once the list above it has its height
}

/** Decide every film again at the chosen point; none is sent for that. */
function decideAll() {
  for (const film of films.filter((film) => film.answer)) film.decided = atChosenPoint(film.answer);
  if (current) changed(current);
}

/** Grad-CAM of another finding, which takes another judgement of the same film by the same model. */
async function explanationFor(film, target) {
  const { model_version: version, operating_point: point } = film.answer;
  const answer = await api.explainFor(film.file, point, target);
  if (answer.model_version === version) return answer.explanation;
  throw new api.Problem(0, "Another model", `Model ${answer.model_version} serves now. Choose the film again.`);
}

function unexpected(fault) {
  return new api.Problem(0, "This page failed", String(fault.message ?? fault));
}

function setUpFilms() {
  place("films").addEventListener("change", (event) => {
    add(event.target.files);
    event.target.value = "";
  });
  const drop = place("drop");
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
  place("phantom").addEventListener("click", async () => {
    const response = await fetch("ui/phantom.png");
    add([new File([await response.blob()], "drawing")]);
  });
  place("cancel").addEventListener("click", () => {
    queue.stop();
    for (const film of films) {
      if (!film.answer && !film.problem) film.problem = new api.Problem(0, "Stopped", "The film was not sent.");
    }
    changed(current);
  });
  place("clear").addEventListener("click", () => {
    films = [];
    current = null;
    hide();
    refresh();
    place("films").focus();
  });
}

/** @returns {Promise<boolean>} whether the server accepts the key */
async function showModel() {
  const key = api.currentKey();
  try {
    const health = await api.health();
    const fallback = health.fallback_in_use ? " (an older one: the chosen one could not be trusted)" : "";
    place("model").textContent = health.status === "ok" ? `Model ${health.model_version}${fallback}` : "No model serves now";
    learnPoints(await api.modelInfo());
    decideAll();
    if (!key) return false;
    place("key-state").textContent = "The key is accepted.";
    acceptedKey = key;
    return true;
  } catch (problem) {
    if (problem.status !== 401) place("key-state").textContent = problem.message;
    else if (key) place("key-state").textContent = "The server does not accept this key.";
    else place("key-state").textContent = "This server asks for a key.";
    place("access").open ||= problem.status === 401;
    return false;
  }
}

function setUpKey() {
  const keep = place("keep-key");
  place("key").value = api.currentKey();
  keep.checked = api.keyIsKept();
  place("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    api.useKey(place("key").value, keep.checked);
    if (!(await showModel())) return;
    place("key").blur(); // it is written: the page may move to what comes
    films.filter(waitsForKey).forEach(send);
  });
}

function setUpTheme() {
  const root = document.documentElement;
  const toggle = place("theme");
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
