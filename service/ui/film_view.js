// The film with the Grad-CAM map over it, on a canvas.

// Five points of viridis, which rises evenly in lightness and reads alike with any colour vision.
const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** @param {number} heat 0..255 @returns {number[]} red, green, blue */
export function colourOf(heat) {
  const place = (heat / 255) * (STOPS.length - 1);
  const below = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[below].map((value, channel) => Math.round(value + (STOPS[below + 1][channel] - value) * (place - below)));
}

/** Film and map of one answer, decoded. @param {{film_png: string, heatmap_png: string}} explanation */
export async function readPictures(explanation) {
  const [film, map] = await Promise.all([picture(explanation.film_png), picture(explanation.heatmap_png)]);
  return { film, map: coloured(map) };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{film: HTMLImageElement, map: HTMLCanvasElement}} pictures
 * @param {number} opacity of the map, 0..1
 */
export function draw(canvas, pictures, opacity) {
  canvas.width = pictures.film.naturalWidth;
  canvas.height = pictures.film.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(pictures.film, 0, 0);
  context.globalAlpha = opacity;
  context.drawImage(pictures.map, 0, 0, canvas.width, canvas.height);
}

function picture(base64) {
  const image = new Image();
  image.src = `data:image/png;base64,${base64}`;
  return image.decode().then(() => image);
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
