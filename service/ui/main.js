// The page: what the controls do. Files never leave but for this server, and their names do not leave at all.

import * as api from "./api.js";
import { render } from "./history.js";
import { Queue } from "./queue.js";
import { hide, redraw, show } from "./result.js";
import { FINDINGS, OPERATING_POINTS } from "./words.js";

const place = (id) => document.getElementById(id);
/** @type {import("./history.js").Film[]} */
let films = [];
let current = null;
const queue = new Queue(refresh);

function refresh() {
  render(films, current, async (film) => {
    await choose(film);
    place("result").focus(); // on a phone it lies far below the list
  });
  const left = queue.left;
  place("cancel").hidden = left === 0;
  place("clear").hidden = films.length === 0 || left > 0;
  const done = films.length - left;
  place("progress").textContent = left > 0 ? `${done} of ${films.length} films answered` : "";
}

async function choose(film) {
  current = film;
  refresh();
  showReport(film);
  await show(film);
  refresh();
}

function operatingPoint() {
  return document.querySelector('input[name="point"]:checked').value;
}

function add(files) {
  for (const file of files) {
    const film = { name: file.name, file, state: "Waiting" };
    films.push(film);
    send(film);
  }
  refresh();
}

function send(film) {
  film.state = "Waiting";
  film.answer = film.problem = film.pictures = film.reported = undefined;
  queue.add(async (signal) => {
    film.state = "Being read…";
    refresh();
    try {
      film.answer = await api.explain(film.file, operatingPoint(), signal, (seconds) => {
        film.state = `The server is busy; trying again in ${seconds} s`;
        refresh();
      });
    } catch (fault) {
      const stopped = new api.Problem(0, "Stopped", "Sending was stopped before the answer came.");
      film.problem = fault instanceof api.Problem ? fault : fault.name === "AbortError" ? stopped : unexpected(fault);
      if (film.problem.status === 401) place("access").open = true;
    }
    if (current === null || current === film) await choose(film);
    refresh();
  });
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
    refresh();
  });
  place("clear").addEventListener("click", () => {
    films = [];
    current = null;
    hide();
    refresh();
    place("films").focus();
  });
}

function setUpPoints() {
  for (const [name, [title, text]] of Object.entries(OPERATING_POINTS)) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const words = document.createElement("div");
    const detail = document.createElement("span");
    Object.assign(input, { type: "radio", name: "point", value: name, checked: name === "balanced" });
    detail.id = `point-${name}`;
    detail.textContent = text;
    words.append(title, detail);
    label.append(input, words);
    place("points").append(label);
    input.addEventListener("change", () => films.filter((film) => film.answer).forEach(send));
  }
}

async function showModel() {
  try {
    const health = await api.health();
    const fallback = health.fallback_in_use ? " (an older one: the chosen one could not be trusted)" : "";
    place("model").textContent = health.status === "ok" ? `Model ${health.model_version}${fallback}` : "No model serves now";
    const info = await api.modelInfo();
    for (const [name, point] of Object.entries(info.operating_points)) showThresholds(name, point.thresholds);
    if (api.currentKey()) place("key-state").textContent = "The key is accepted.";
  } catch (problem) {
    if (problem.status !== 401) place("key-state").textContent = problem.message;
    else if (api.currentKey()) place("key-state").textContent = "The server does not accept this key.";
    else place("key-state").textContent = "This server asks for a key.";
    place("access").open ||= problem.status === 401;
  }
}

function showThresholds(name, thresholds) {
  const detail = place(`point-${name}`);
  const entries = Object.entries(thresholds ?? {});
  if (!detail || entries.length === 0) return;
  const [, text] = OPERATING_POINTS[name];
  detail.textContent = `${text} (${entries.map(([finding, value]) => `${finding} from ${value.toFixed(2)}`).join(", ")})`;
}

function setUpKey() {
  const keep = place("keep-key");
  place("key").value = api.currentKey();
  keep.checked = api.keyIsKept();
  place("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.useKey(place("key").value, keep.checked);
    showModel();
  });
}

function showReport(film) {
  for (const button of place("labels").children) {
    button.setAttribute("aria-pressed", String(button.dataset.finding === film.reported));
  }
  place("report-state").textContent = film.reported ? `Reported as ${film.reported}.` : "";
}

async function reportOn(film, path, body, done) {
  try {
    const answer = await api.report(path, { request_id: film.answer.request_id, ...body });
    if (body.label) film.reported = body.label;
    showReport(film);
    place("report-state").textContent = done(answer);
  } catch (problem) {
    place("report-state").textContent = `Not reported: ${problem.message}`;
  }
  refresh();
}

function setUpReports() {
  for (const finding of FINDINGS) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "quiet", textContent: `It is ${finding}` });
    button.dataset.finding = finding;
    button.addEventListener("click", () =>
      reportOn(current, "feedback", { label: finding }, (answer) =>
        answer.agrees ? "Thank you. That agrees with the model." : "Thank you. That corrects the model."),
    );
    place("labels").append(button);
    place("truth").append(new Option(finding, finding));
  }
  place("send-incident").addEventListener("click", () => {
    if (!place("case").value || !place("case").checkValidity()) {
      place("report-state").textContent = "Name the case by a pseudonym: letters, digits, dot, dash and underscore.";
      place("case").focus();
      return;
    }
    const body = { case_id: place("case").value };
    if (place("truth").value) body.label = place("truth").value;
    if (place("note").value.trim()) body.note = place("note").value.trim();
    reportOn(current, "incidents", body, (answer) => `Incident ${answer.incident_id} is put up for review.`);
  });
  place("copy").hidden = !navigator.clipboard; // browsers have it under TLS and on localhost only
  place("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(current.answer.request_id);
    place("copy").textContent = "Copied";
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
setUpPoints();
setUpKey();
setUpReports();
place("opacity").addEventListener("input", redraw);
showModel();
