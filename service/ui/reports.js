// Reports on the film shown: its confirmed label, or a misdiagnosis.

import * as api from "./api.js";
import { FINDINGS } from "./words.js";

const byId = (id) => document.getElementById(id);
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
    byId("labels").append(button);
    byId("truth").append(new Option(finding, finding));
  }
  byId("send-incident").addEventListener("click", () => {
    if (!byId("case").value || !byId("case").checkValidity()) {
      byId("report-state").textContent = "Name the case by a pseudonym: letters, digits, dot, dash and underscore.";
      byId("case").focus();
      return;
    }
    const body = { case_id: byId("case").value };
    if (byId("truth").value) body.label = byId("truth").value;
    if (byId("note").value.trim()) body.note = byId("note").value.trim();
    report("incidents", body, onReport, (answer) =>
      `Incident ${answer.incident_id} is marked for review.${replacedText(answer)}`);
  });
  byId("copy").hidden = !navigator.clipboard; // browsers have it under TLS and on localhost only
  byId("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(shown.answer.prediction_id);
    byId("copy").textContent = "Copied";
  });
}

/** Show the reports on a film. Text typed for another film is cleared, so that it cannot be sent for this one. */
export function showReports(film) {
  if (film !== shown) {
    shown = film;
    for (const field of ["case", "truth", "note"]) byId(field).value = "";
    byId("copy").textContent = "Copy the prediction id";
  }
  for (const button of byId("labels").children) {
    button.setAttribute("aria-pressed", String(button.dataset.finding === film.reported));
  }
  byId("report-state").textContent = film.reportText ?? "";
}

/** @param {{corrected_from: string|null}} answer to a report; corrected_from: the film's earlier label, if another */
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
