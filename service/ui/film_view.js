// The film with the Grad-CAM map over it, on a canvas; and the pictures that this takes.

// Five points of viridis, which rises evenly in lightness and reads alike with any colour vision.
const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** @param {number} heat 0..255 @returns {number[]} red, green, blue */
export function colourOf(heat) {
  const place = (heat / 255) * (STOPS.length - 1);
  const below = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[below].map((value, channel) => Math.round(value + (STOPS[below + 1][channel] - value) * (place - below)));
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

/** Leave nothing of the film before. @param {HTMLCanvasElement} canvas */
export function wipe(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

/** The grey map in colours; cold places let the film through. */
function coloured(map) {
  const canvas = document.createElement("canvas");
  canvas.width = map.naturalWidth;
  canvas.height = map.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(map, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let place = 0; place < pixels.data.length; place += 4) {
    const heat = pixels.data[place];
    pixels.data.set([...colourOf(heat), heat], place);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
