// What /model/info said of each model: its thresholds, and the site profile that is applied to it.

const infos = new Map(); // name of a model -> its /model/info

/** @param {string} version of the bundle @param {{name: string, version: number}|null} site profile */
function nameOf(version, site) {
  return site ? `${version} ${site.name}-${site.version}` : version;
}

/** @param {{version: string, site: object|null, operating_points: object}} info of /model/info */
export function learnModel(info) {
  infos.set(nameOf(info.version, info.site), info);
}

/** What is known of the model that gave this answer; undefined if nothing is. @param {object} answer */
export function modelOf(answer) {
  return infos.get(nameOf(answer.model_version, answer.site));
}

/** Whether the same model gave both answers, through the same site profile. */
export function isSameModel(one, other) {
  return nameOf(one.model_version, one.site) === nameOf(other.model_version, other.site);
}
