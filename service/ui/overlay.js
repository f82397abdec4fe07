// The Grad-CAM map over the film that is shown: how strong, for which finding, and its shares by zone.

import { draw, readFilm, readMap, wipe } from "./film_view.js";
import { FINDINGS, percent, sideText } from "./words.js";

const ZONES = [["upper", "Upper zone"], ["middle", "Middle zone"], ["lower", "Lower zone"]];

const PENDING = null; // in place of a map that was requested

const byId = (id) => document.getElementById(id);
let shown = null;
let lastOpacity = 45; // in percent; the key restores it

/** @param {(film: object, target: string) => Promise<object>} ask for the explanation of another finding */
export function setUpOverlay(ask) {
  byId("opacity").addEventListener("input", redraw);
  // Not while the slider is dragged: on the way to 0 it passes every other value.
  byId("opacity").addEventListener("change", () => {
    lastOpacity = opacity() || lastOpacity;
  });
  document.addEventListener("keydown", (event) => {
    const isKey = ["o", "O"].includes(event.key) && !(event.ctrlKey || event.altKey || event.metaKey || event.repeat);
    if (isKey && byId("map-key").checked && shown && !isTyping()) setOpacity(opacity() > 0 ? 0 : lastOpacity);
  });
  for (const finding of FINDINGS) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "quiet", textContent: finding });
    button.addEventListener("click", () => chooseTarget(finding, ask));
    byId("targets").append(button);
  }
}

/** Whether a key press is text input. */
export function isTyping() {
  const textFields = "textarea, select, input:not([type=range], [type=radio], [type=checkbox], [type=file])";
  return document.activeElement?.matches(textFields);
}

/** Show the film of an answer. A film not shown before begins without the map, to be read first. */
export async function showFilm(film) {
  if (film !== shown) {
    shown = film;
    wipe(byId("film"));
    setOpacity(0);
  }
  const { explanation } = film.answer;
  film.target ??= explanation.target;
  film.maps ??= { [explanation.target]: explanation };
  film.picture ??= await readFilm(explanation.film_png);
  await showMap(film);
}

/** Forget the film shown, so that slider and key do nothing. */
export function hideFilm() {
  shown = null;
}

function opacity() {
  return Number(byId("opacity").value);
}

function setOpacity(percentage) {
  lastOpacity = opacity() || lastOpacity;
  byId("opacity").value = String(percentage);
  redraw();
}

async function chooseTarget(target, ask) {
  const film = shown;
  film.target = target;
  film.mapFault = "";
  if (opacity() === 0) setOpacity(lastOpacity);
  if (!(target in film.maps)) {
    film.maps[target] = PENDING;
    showMap(film);
    try {
      film.maps[target] = await ask(film, target);
    } catch (problem) {
      delete film.maps[target];
      film.mapFault = `No map of ${target}: ${problem.message}`;
      if (film.target === target) film.target = film.answer.explanation.target;
    }
  }
  await showMap(film);
}

async function showMap(film) {
  const map = film.maps[film.target];
  if (map) map.picture ??= await readMap(map.heatmap_png);
  if (film !== shown) return;
  for (const button of byId("targets").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.textContent === film.target));
  }
  const waiting = film.maps[film.target] === PENDING;
  byId("map-state").textContent = waiting ? `Asking for the map of ${film.target}…` : (film.mapFault ?? "");
  showZones(film);
  redraw();
}

function redraw() {
  byId("opacity-value").textContent = `${opacity()} %`;
  if (!shown?.picture) return;
  const map = shown.maps[shown.target]?.picture;
  draw(byId("film"), shown.picture, map, opacity() / 100);
  const { image } = shown.answer;
  const isOver = map && opacity() > 0;
  const overlay = isOver ? ` with the Grad-CAM map for ${shown.target} over it` : "";
  byId("film").setAttribute("aria-label", `Film ${shown.name}${overlay}`);
  byId("caption").textContent =
    `${shown.name}: ${image.width_px} × ${image.height_px} px, ${image.format.toUpperCase()}. ` +
    `${isOver ? `Map for ${shown.target}. ` : ""}${sideText(image.orientation)}`;
}

/** Zones are named by the patient's side, or by the picture's side if the orientation is unknown. */
function showZones(film) {
  const zones = film.maps[film.target]?.zones ?? {};
  const isKnown = film.answer.image.orientation === "stated";
  byId("zones-caption").textContent =
    `Share of the map for ${film.target} in each zone, by the ${isKnown ? "patient's side" : "side of the picture"}`;
  byId("zones-first").textContent = isKnown ? "Right" : "Left";
  byId("zones-second").textContent = isKnown ? "Left" : "Right";
  const most = Math.max(...Object.values(zones));
  const rows = ZONES.map(([level, title]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.textContent = title;
    head.scope = "row";
    const cells = ["right", "left"].map((side) => {
      const share = zones[`${side}_${level}`];
      const cell = document.createElement("td");
      cell.textContent = share === undefined ? "" : percent(share);
      cell.className = share === most ? "most" : "";
      return cell;
    });
    row.append(head, ...cells);
    return row;
  });
  byId("zones").replaceChildren(...rows);
}
