// The operating points: which one the reader has chosen, and the thresholds of each model that has answered.

import { decideAt } from "./decide.js";
import { OPERATING_POINTS } from "./words.js";

const byId = (id) => document.getElementById(id);
const pointsOf = new Map(); // model version -> its operating points by name

/** @param {() => void} onChange told when another point is chosen */
export function setUpPoints(onChange) {
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
    byId("points").append(label);
    input.addEventListener("change", onChange);
  }
}

export function chosenPoint() {
  return document.querySelector('input[name="point"]:checked').value;
}

/** @param {{version: string, operating_points: Record<string, {thresholds: Record<string, number>}>}} info of /model/info */
export function learnPoints(info) {
  pointsOf.set(info.version, info.operating_points);
  for (const [name, { thresholds }] of Object.entries(info.operating_points)) showThresholds(name, thresholds);
}

/** @param {string} version of a model */
export function knowsPointsOf(version) {
  return pointsOf.has(version);
}

/** The answer at the chosen point, or unchanged if that point's thresholds are not known. */
export function atChosenPoint(answer) {
  const point = chosenPoint();
  const thresholds = pointsOf.get(answer.model_version)?.[point]?.thresholds;
  return point === answer.operating_point || !thresholds ? answer : decideAt(answer, point, thresholds);
}

function showThresholds(name, thresholds) {
  const detail = byId(`point-${name}`);
  const entries = Object.entries(thresholds);
  if (!detail || entries.length === 0) return;
  const [, text] = OPERATING_POINTS[name];
  detail.textContent = `${text} (${entries.map(([finding, value]) => `${finding} from ${value.toFixed(2)}`).join(", ")})`;
}
