// One film's result on the page: finding, reasons to look, probabilities, zones, pictures.

import { draw, readPictures } from "./film_view.js";
import { FINDINGS, OPERATING_POINTS, adviceText, percent, reasonText, setText } from "./words.js";

const ZONES = [["upper", "Upper zone"], ["middle", "Middle zone"], ["lower", "Lower zone"]];

const place = (id) => document.getElementById(id);
let shown = null;

/** @param {{name: string, answer?: object, problem?: import("./api.js").Problem}} film */
export async function show(film) {
  shown = film;
  place("result").hidden = false;
  place("answer").hidden = !film.answer;
  place("problem").hidden = !film.problem;
  place("result-heading").textContent = `Result: ${film.name}`;
  if (film.problem) showProblem(film.problem);
  if (film.answer) await showAnswer(film);
}

export function hide() {
  shown = null;
  place("result").hidden = true;
}

/** Draw the shown film again, with the map as strong as the slider says. */
export function redraw() {
  const opacity = Number(place("opacity").value);
  place("opacity-value").textContent = `${opacity} %`;
  if (shown?.pictures) draw(place("film"), shown.pictures, opacity / 100);
}

function showProblem(problem) {
  const title = element("strong", problem.title);
  place("problem").replaceChildren(title, element("p", problem.message), element("p", adviceText(problem.status)));
}

async function showAnswer(film) {
  const { answer } = film;
  const [point] = OPERATING_POINTS[answer.operating_point] ?? [answer.operating_point];
  const detail = element("small", `probability ${percent(answer.confidence)}, operating point: ${point}`);
  place("call").replaceChildren(answer.prediction, detail);
  showReview(answer.review);
  showBars(answer);
  place("set").textContent = setText(answer.prediction_set);
  showZones(answer.explanation.zones);
  place("caption").textContent =
    `${film.name}: ${answer.image.width_px} × ${answer.image.height_px} px, ${answer.image.format.toUpperCase()}. ` +
    `Map for ${answer.explanation.target}. The patient's right is on the left.`;
  place("film").setAttribute("aria-label", `Film ${film.name} with the Grad-CAM map for ${answer.explanation.target} over it`);
  place("facts").textContent =
    `Model ${answer.model_version}, ${answer.inference_time_ms.toFixed(1)} ms in the model. Request ${answer.request_id}.`;
  film.pictures ??= await readPictures(answer.explanation);
  if (shown === film) redraw();
}

function showReview(review) {
  const box = place("review");
  box.className = review.required ? "flag" : "";
  if (!review.required) {
    box.replaceChildren(element("p", "No reason for review was found. That does not make the answer right."));
    return;
  }
  const reasons = element("ul");
  reasons.append(...review.reasons.map((name) => element("li", reasonText(name))));
  box.replaceChildren(element("strong", "A person must look at this film"), reasons);
}

function showBars(answer) {
  const rows = FINDINGS.flatMap((finding) => {
    const share = answer.probabilities[finding];
    const called = finding === answer.prediction ? "called" : "";
    const name = element("dt", finding);
    name.className = called;
    const fill = element("div");
    fill.className = "fill";
    fill.style.width = `${100 * share}%`;
    const track = element("div");
    track.className = `track ${called}`;
    track.setAttribute("aria-hidden", "true");
    track.append(fill);
    const number = element("span", percent(share));
    number.className = "number";
    const value = element("dd");
    value.append(track, number);
    return [name, value];
  });
  place("bars").replaceChildren(...rows);
}

function showZones(zones) {
  const most = Math.max(...Object.values(zones));
  const rows = ZONES.map(([level, title]) => {
    const row = element("tr");
    const head = element("th", title);
    head.scope = "row";
    const cells = ["right", "left"].map((side) => {
      const share = zones[`${side}_${level}`];
      const cell = element("td", percent(share));
      cell.className = share === most ? "most" : "";
      return cell;
    });
    row.append(head, ...cells);
    return row;
  });
  place("zones").replaceChildren(...rows);
}

function element(tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
}
