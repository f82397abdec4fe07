// Draws a film with the Grad-CAM map over it on a canvas.

// Five points of viridis, which rises evenly in lightness and reads alike with any colour vision.
const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** @param {number} heat 0..255 @returns {number[]} red, green, blue */
export function colourOf(heat) {
  const position = (heat / 255) * (STOPS.length - 1);
  const below = Math.min(Math.floor(position), STOPS.length - 2);
  return STOPS[below].map((value, channel) => Math.round(value + (STOPS[below + 1][channel] - value) * (position - below)));
}

/** @param {string} base64 a PNG @returns {Promise<HTMLImageElement>} decoded */
export function readFilm(base64) {
  const image = new Image();
  image.src = `data:image/png;base64,${base64}`;
  return image.decode().then(() => image);
}

/** @param {string} base64 a grey PNG, 0 cold to 255 strongest @returns {Promise<HTMLCanvasElement>} in colours */
export async function readMap(base64) {
  return coloured(await readFilm(base64));
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLImageElement} film
 * @param {HTMLCanvasElement|undefined} map where there is none, the film alone is drawn
 * @param {number} opacity of the map, 0..1
 */
export function draw(canvas, film, map, opacity) {
  canvas.width = film.naturalWidth;
  canvas.height = film.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(film, 0, 0);
  context.globalAlpha = opacity;
  if (map) context.drawImage(map, 0, 0, canvas.width, canvas.height);
}

/** Clear the canvas. @param {HTMLCanvasElement} canvas */
export function wipe(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

/** The grey map in colours; where it is cold, the film shows through. */
function coloured(map) {
  const canvas = document.createElement("canvas");
  canvas.width = map.naturalWidth;
  canvas.height = map.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(map, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let offset = 0; offset < pixels.data.length; offset += 4) {
    const heat = pixels.data[offset];
    pixels.data.set([...colourOf(heat), heat], offset);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
