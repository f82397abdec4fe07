// What the reader reports of the film that is shown: what it really shows, or a misdiagnosis.

import * as api from "./api.js";
import { FINDINGS } from "./words.js";

const place = (id) => document.getElementById(id);
let shown = null;

/** @param {() => void} onReport told when a film is reported */
export function setUpReports(onReport) {
  for (const finding of FINDINGS) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "quiet", textContent: `It is ${finding}` });
    button.dataset.finding = finding;
    button.addEventListener("click", () =>
      report("feedback", { label: finding }, onReport, (answer) =>
        `Thank you. That ${answer.agrees ? "agrees with" : "corrects"} the answer on record.${replacedText(answer)}`),
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
    report("incidents", body, onReport, (answer) =>
      `Incident ${answer.incident_id} is put up for review.${replacedText(answer)}`);
  });
  place("copy").hidden = !navigator.clipboard; // browsers have it under TLS and on localhost only
  place("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(shown.answer.prediction_id);
    place("copy").textContent = "Copied";
  });
}

/** What is on record of a film. What was written about another is dropped, so that it cannot be sent for this one. */
export function showReports(film) {
  if (film !== shown) {
    shown = film;
    for (const field of ["case", "truth", "note"]) place(field).value = "";
    place("copy").textContent = "Copy the prediction id";
  }
  for (const button of place("labels").children) {
    button.setAttribute("aria-pressed", String(button.dataset.finding === film.reported));
  }
  place("report-state").textContent = film.reportText ?? "";
}

/** @param {{corrected_from: string|null}} answer to a report: the label that the film had before, if it was another */
function replacedText(answer) {
  return answer.corrected_from ? ` Before, it was reported as ${answer.corrected_from}.` : "";
}

async function report(path, body, onReport, textOf) {
  const film = shown;
  try {
    film.reportText = textOf(await api.report(path, { prediction_id: film.answer.prediction_id, ...body }));
    if (body.label) film.reported = body.label;
  } catch (problem) {
    film.reportText = `Not reported: ${problem.message}`;
  }
  if (film === shown) showReports(film);
  onReport();
}
