// The films of this session, in memory only.

const list = document.getElementById("history");

/** @typedef {{name: string, file: Blob, state: string, answer?: object, problem?: Error, reported?: string}} Film */

/** @param {Film[]} films @param {Film|null} current @param {(film: Film) => void} onChoose */
export function render(films, current, onChoose) {
  const focused = list.contains(document.activeElement) ? Number(document.activeElement.dataset.place) : -1;
  list.replaceChildren(
    ...films.map((film, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.place = String(place);
      button.disabled = !film.answer && !film.problem;
      if (film === current) button.setAttribute("aria-current", "true");
      button.append(line("name", film.name), line(`state ${mood(film)}`, stateText(film)));
      button.addEventListener("click", () => onChoose(film));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
  if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
  document.getElementById("empty").hidden = films.length > 0;
}

function mood(film) {
  if (film.problem) return "bad";
  return film.answer?.review.required ? "flag" : "";
}

function stateText(film) {
  if (film.problem) return `Refused: ${film.problem.title}`;
  if (!film.answer) return film.state;
  const flag = film.answer.review.required ? " · review" : "";
  return `${film.answer.prediction} ${(100 * film.answer.confidence).toFixed(0)} %${flag}${film.reported ? " · reported" : ""}`;
}

function line(className, text) {
  const made = document.createElement("span");
  made.className = className;
  made.textContent = text;
  return made;
}
