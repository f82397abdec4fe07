// Decides at an operating point, by the rule of the service's decision.py, so that no film need be sent again.

import { FINDINGS } from "./words.js";

const DISAGREES = "operating_point_disagrees";

/**
 * The finding called: of the diseases at or above their thresholds, the one with the largest ratio of probability to threshold;
 * Normal if there is none. Without thresholds, the most probable finding. Of equals, the first.
 * @param {Record<string, number>} probabilities by finding, 0..1
 * @param {Record<string, number>} thresholds by disease, in (0, 1); a disease without one cannot be called
 */
export function call(probabilities, thresholds) {
  const diseases = Object.keys(thresholds);
  if (diseases.length === 0) return mostProbable(probabilities);
  const reached = diseases.filter((disease) => probabilities[disease] >= thresholds[disease]);
  return reached.length === 0 ? "Normal" : largest(reached, (disease) => probabilities[disease] / thresholds[disease]);
}

/**
 * The answer as the service would give it at another operating point. The prediction set and the other reasons for review do
 * not depend on the point.
 * @param {object} answer of /predict or /predict/explain
 * @param {string} point the operating point
 * @param {Record<string, number>} thresholds those of the point, by disease
 */
export function decideAt(answer, point, thresholds) {
  const prediction = call(answer.probabilities, thresholds);
  const reasons = answer.review.reasons.filter((reason) => reason !== DISAGREES);
  if (prediction !== mostProbable(answer.probabilities)) reasons.push(DISAGREES); // the service names it last
  return {
    ...answer,
    operating_point: point,
    prediction,
    confidence: answer.probabilities[prediction],
    review: { required: reasons.length > 0, reasons },
  };
}

function mostProbable(probabilities) {
  return largest(FINDINGS, (finding) => probabilities[finding]);
}

function largest(names, valueOf) {
  return names.reduce((best, name) => (valueOf(name) > valueOf(best) ? name : best));
}
