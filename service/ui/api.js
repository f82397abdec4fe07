// Requests to this server. The key is held here in memory, and kept until the tab closes only if the reader asks for it.

const KEY_NAME = "chest-xray-key"; // in the tab's session storage
// If overloaded or rate limited, the server says when to try again; after this many attempts its refusal stands.
const MAX_TRIES = 4;
const LONGEST_WAIT_SECONDS = 60;

let key = sessionStorage.getItem(KEY_NAME) ?? "";

/** A refusal of the server, as RFC 9457 problem details, or of the network (status 0). */
export class Problem extends Error {
  /** @param {number} status @param {string} title @param {string} detail */
  constructor(status, title, detail) {
    super(detail);
    this.status = status;
    this.title = title;
  }
}

export function currentKey() {
  return key;
}

/** @param {string} text @param {boolean} keep until the tab is closed */
export function useKey(text, keep) {
  key = text.trim();
  if (keep && key) sessionStorage.setItem(KEY_NAME, key);
  else sessionStorage.removeItem(KEY_NAME);
}

export function keyIsKept() {
  return sessionStorage.getItem(KEY_NAME) !== null;
}

/**
 * The prediction for one film, with Grad-CAM of the predicted finding and the film as the server decoded it.
 * @param {Blob} film @param {string} operatingPoint @param {AbortSignal} signal
 * @param {(seconds: number) => void} onWait told when the server asks to wait
 */
export function judge(film, operatingPoint, signal, onWait) {
  return explain(film, { operating_point: operatingPoint, film: "true" }, signal, onWait);
}

/**
 * The prediction for a film once more, with Grad-CAM of another finding.
 * @param {Blob} film @param {string} operatingPoint @param {string} target the finding
 */
export function explainFor(film, operatingPoint, target) {
  return explain(film, { operating_point: operatingPoint, target }, new AbortController().signal, () => {});
}

async function explain(film, options, signal, onWait) {
  const query = new URLSearchParams(options);
  const request = { method: "POST", body: film, signal, headers: { "Content-Type": "application/octet-stream" } };
  for (let attempt = 1; ; attempt += 1) {
    const response = await send(`predict/explain?${query}`, request);
    if (response.ok) return response.json();
    const waitSeconds = Number(response.headers.get("Retry-After"));
    const mayRetry = [429, 503].includes(response.status) && waitSeconds > 0 && waitSeconds <= LONGEST_WAIT_SECONDS;
    if (!mayRetry || attempt === MAX_TRIES) throw await problemOf(response);
    onWait(waitSeconds);
    await pause(waitSeconds, signal);
  }
}

/** @param {string} path @param {object} body */
export async function report(path, body) {
  return answerOf(await send(path, jsonRequest(body)));
}

export async function modelInfo() {
  return answerOf(await send("model/info", {}));
}

export async function health() {
  const response = await send("health", {});
  return response.json();
}

function jsonRequest(body) {
  return { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}

async function answerOf(response) {
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

async function send(path, request) {
  const headers = { Accept: "application/json", ...request.headers };
  if (key) headers["X-API-Key"] = key;
  try {
    return await fetch(path, { ...request, headers, cache: "no-store" });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Problem(0, "No answer", "The server cannot be reached. Check the connection and try again.");
  }
}

async function problemOf(response) {
  try {
    const problem = await response.json();
    return new Problem(response.status, problem.title, problem.detail);
  } catch {
    return new Problem(response.status, "Refused", `The server answered with status ${response.status}.`);
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}
