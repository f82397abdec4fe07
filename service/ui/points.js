// The choice of the operating point, and answers at the point chosen.

import { decideAt } from "./decide.js";
import { modelOf } from "./models.js";
import { OPERATING_POINTS } from "./words.js";

const byId = (id) => document.getElementById(id);

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

/** @param {Record<string, {thresholds: Record<string, number>}>} points of the model that serves, by name */
export function showPoints(points) {
  for (const [name, { thresholds }] of Object.entries(points)) showThresholds(name, thresholds);
}

/** The answer at the chosen point, or unchanged if that point's thresholds are not known. */
export function atChosenPoint(answer) {
  const point = chosenPoint();
  const thresholds = modelOf(answer)?.operating_points[point]?.thresholds;
  return point === answer.operating_point || !thresholds ? answer : decideAt(answer, point, thresholds);
}

function showThresholds(name, thresholds) {
  const detail = byId(`point-${name}`);
  const entries = Object.entries(thresholds);
  if (!detail || entries.length === 0) return;
  const [, text] = OPERATING_POINTS[name];
  detail.textContent = `${text} (${entries.map(([finding, value]) => `${finding} from ${value.toFixed(2)}`).join(", ")})`;
}
