// The films of this session, in memory only.

const list = document.getElementById("history");

/**
 * answer: as the server gave and recorded it. decided: the answer at the chosen operating point. overlay.js adds a film's
 * pictures, and reports.js the outcome of its reports.
 * @typedef {{
 *   name: string, file: Blob, state: string, answer?: object, decided?: object, problem?: Error, reported?: string
 * }} Film
 */

/** @param {Film[]} films @param {Film|null} current @param {(film: Film) => void} onChoose */
export function render(films, current, onChoose) {
  const focused = list.contains(document.activeElement) ? Number(document.activeElement.dataset.index) : -1;
  list.replaceChildren(
    ...films.map((film, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.index = String(index);
      if (film === current) button.setAttribute("aria-current", "true");
      button.append(line("name", film.name), line(`state ${stateClass(film)}`, stateText(film)));
      button.addEventListener("click", () => onChoose(film));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
  if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
  document.getElementById("empty").hidden = films.length > 0;
}

function stateClass(film) {
  if (film.problem) return "bad";
  return film.decided?.review.required ? "flag" : "";
}

function stateText(film) {
  if (film.problem) return film.problem.status === 401 ? "Waits for an access key" : `Refused: ${film.problem.title}`;
  if (!film.decided) return film.state;
  const { prediction, confidence, review } = film.decided;
  const marks = `${review.required ? " · review" : ""}${film.reported ? " · reported" : ""}`;
  return `${prediction} ${(100 * confidence).toFixed(0)} %${marks}`;
}

function line(className, text) {
  const made = document.createElement("span");
  made.className = className;
  made.textContent = text;
  return made;
}
