import cv2
import numpy as np

from service.model.heatmap import OVERLAY_SIDE_PX, heatmap_png, overlay_png
from tests.support.encoded_films import film


def test_pictures_keep_the_films_aspect_ratio():
    tall = film(512)[:, :256]
    grid = np.zeros((7, 7), np.float32)
    grid[0, 0] = 1
    overlay = cv2.imdecode(np.frombuffer(overlay_png(tall, grid), np.uint8), cv2.IMREAD_UNCHANGED)
    heatmap = cv2.imdecode(np.frombuffer(heatmap_png(grid, *tall.shape), np.uint8), cv2.IMREAD_UNCHANGED)
    assert overlay.shape == (OVERLAY_SIDE_PX, OVERLAY_SIDE_PX // 2, 3)
    assert heatmap.shape == (OVERLAY_SIDE_PX, OVERLAY_SIDE_PX // 2)
    assert (heatmap[0, 0], heatmap[-1, -1]) == (255, 0)


def test_cold_cells_show_the_film_and_hot_ones_colour_it():
    grid = np.zeros((7, 7), np.float32)
    grid[:, 5:] = 1
    flat = np.full((256, 256), 100, np.uint8)
    overlay = cv2.imdecode(np.frombuffer(overlay_png(flat, grid), np.uint8), cv2.IMREAD_UNCHANGED).astype(int)
    assert np.all(overlay[:, :100] == 100)
    assert np.ptp(overlay[OVERLAY_SIDE_PX // 2, -6]) > 40
