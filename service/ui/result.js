// One film's result on the page: finding, reasons for review, probabilities.

import { modelOf } from "./models.js";
import { hideFilm, showFilm } from "./overlay.js";
import { FINDINGS, adviceText, percent, pointText, predictionSetText, reasonText, siteText } from "./words.js";

const byId = (id) => document.getElementById(id);

/** @param {import("./history.js").Film} film @param {string} point that the reader has chosen */
export async function show(film, point) {
  byId("result").hidden = false;
  byId("answer").hidden = !film.answer;
  byId("problem").hidden = !film.problem;
  byId("pending").textContent = film.answer || film.problem ? "" : film.state;
  byId("result-heading").textContent = `Result: ${film.name}`;
  if (film.problem) showProblem(film.problem);
  if (film.answer) await showAnswer(film, point);
  else showNoAnswer();
}

export function hide() {
  showNoAnswer();
  byId("result").hidden = true;
}

function showNoAnswer() {
  byId("announcement").textContent = "";
  hideFilm();
}

function showProblem(problem) {
  const title = element("strong", problem.title);
  byId("problem").replaceChildren(title, element("p", problem.message), element("p", adviceText(problem.status)));
}

async function showAnswer(film, point) {
  const { answer, decided } = film;
  const detail = `probability ${percent(decided.confidence)}, operating point: ${pointText(decided.operating_point)}`;
  byId("call").replaceChildren(decided.prediction, element("small", detail));
  byId("record").textContent = recordText(answer, decided, point);
  showReview(decided.review);
  showSite(answer);
  showBars(decided);
  byId("set").textContent = predictionSetText(decided.prediction_set);
  byId("facts").textContent =
    `Model ${answer.model_version}, ${answer.inference_time_ms.toFixed(1)} ms in the model. ` +
    `Prediction ${answer.prediction_id}, request ${answer.request_id}.`;
  byId("announcement").textContent = announcement(film.name, decided, siteOf(answer).title);
  await showFilm(film);
}

/** The text that screen readers announce. */
function announcement(name, { prediction, confidence, review }, site) {
  const advice = review.required ? "A person must look at this film." : "No reason for review was found.";
  return `${name}: ${prediction}, probability ${percent(confidence)}. ${advice} ${site}.`;
}

/** Explain differences between the operating points shown, recorded and chosen. */
function recordText(answer, decided, point) {
  if (decided.operating_point !== point) {
    return `The thresholds of model ${answer.model_version} at ${pointText(point)} are not known.`;
  }
  if (decided.operating_point !== answer.operating_point) {
    return `On record: ${answer.prediction}, at ${pointText(answer.operating_point)}.`;
  }
  return "";
}

function showReview(review) {
  const box = byId("review");
  if (review.required) {
    warn(box, "A person must look at this film", review.reasons.map(reasonText));
    return;
  }
  box.classList.remove("flag");
  box.replaceChildren(element("p", "No reason for review was found. That does not make the answer right."));
}

/** Say which site profile was applied, and its warnings. */
function showSite(answer) {
  const box = byId("site");
  const { title, sentences } = siteOf(answer);
  if (sentences.length > 0) {
    warn(box, title, sentences);
    return;
  }
  box.classList.remove("flag");
  box.replaceChildren(element("p", `${title}.`));
}

function siteOf(answer) {
  return siteText(answer.site, modelOf(answer)?.site);
}

function warn(box, title, sentences) {
  const list = element("ul");
  list.append(...sentences.map((sentence) => element("li", sentence)));
  box.classList.add("flag");
  box.replaceChildren(element("strong", title), list);
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
  byId("bars").replaceChildren(...rows);
}

function element(tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
}
