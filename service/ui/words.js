// The server's terms in words for radiologists.

export const FINDINGS = ["Normal", "Pneumonia", "Tuberculosis"];

export const OPERATING_POINTS = {
  balanced: ["Balanced", "The most probable finding is called."],
  high_sensitivity: ["High sensitivity", "A disease is called from a low probability on: fewer misses, more false alarms."],
  high_specificity: ["High specificity", "A disease is called only from a high probability on: fewer false alarms, more misses."],
  tb_screening: ["TB screening", "Tuberculosis against everything else, with the threshold chosen for 90 % sensitivity."],
};

const REASONS = {
  low_confidence: "No finding is probable enough. Read the film without the model.",
  ambiguous: "Several findings fit, or none does. See the set below.",
  out_of_distribution: "The film is unlike those the model was trained on. Its answer may mean nothing.",
  not_frontal_chest: "This does not look like a frontal chest film: another part or view, turned, inverted or coloured.",
  image_quality: "The film is blank, badly exposed or blurred, or its DICOM window cannot be applied. Try another copy of it.",
  operating_point_disagrees: "Another finding is more probable than the one called at this operating point.",
};

const UNCOMMISSIONED = "The model was not tested on films of this hospital. Its probabilities and thresholds may be wrong here.";
const UNVERIFIED = "Nothing was verified: this site gave only films without labels.";

/** @param {string} name of a review reason */
export function reasonText(name) {
  return REASONS[name] ?? name;
}

/** @param {string[]} set the conformal prediction set */
export function predictionSetText(set) {
  if (set.length === 0) return "No finding fits at the promised coverage.";
  if (set.length === 1) return `At the promised coverage, only ${set[0]} fits.`;
  return `At the promised coverage, these fit: ${set.join(", ")}.`;
}

/** @param {string} point name of an operating point @returns {string} its title */
export function pointText(point) {
  return OPERATING_POINTS[point]?.[0] ?? point;
}

/** @param {{model_version: string, site: {name: string, version: number}|null}} answer of any path that names its model */
export function modelText({ model_version: version, site }) {
  return `${version}, ${site ? `commissioned for ${site.name}, profile ${site.version}` : "not commissioned for this site"}`;
}

/**
 * What a reader must know of the site profile that was applied: a title, and sentences.
 * @param {{name: string, version: number}|null} site of an answer
 * @param {{verified: boolean, warnings: string[]}|undefined} profile its part of /model/info; undefined if not known
 * @returns {{title: string, sentences: string[]}}
 */
export function siteText(site, profile) {
  if (!site) return { title: "Not commissioned for this site", sentences: [UNCOMMISSIONED] };
  const title = `Commissioned for ${site.name}, profile ${site.version}${profile?.verified === false ? ", not verified" : ""}`;
  if (!profile) return { title, sentences: ["What this profile was tested on is not known."] };
  return { title, sentences: [...(profile.verified ? [] : [UNVERIFIED]), ...profile.warnings] };
}

/** @param {"stated"|"assumed"} orientation whether the file says how the film lies */
export function sideText(orientation) {
  if (orientation === "stated") return "The patient's right is on the left.";
  return "Which side is the patient's right is not known from the file.";
}

/** What to do about a refusal. @param {number} status */
export function adviceText(status) {
  return {
    401: "Enter an API key under “Access key”; the film then goes again.",
    403: "This key, or this network, is not allowed to do that. Ask whoever runs the server. With another key, the film goes again.",
    413: "Send a smaller copy of the film.",
    415: "Save the film as JPEG, PNG, TIFF or DICOM, then choose it again.",
    429: "Too many films in a short time. Wait a minute, then choose it again; with another key, it goes again by itself.",
    503: "The server is busy or has no model. Try again in a moment.",
    504: "The server took too long. Try again in a moment.",
  }[status] ?? "";
}

/** @param {number} share 0..1 */
export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
