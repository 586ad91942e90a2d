"""Optical flow on clips whose motion is known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks.film_clip import Flow, Frame, MovingDisc
from farm.engine.film.flow import (
    FlowUnavailable,
    Motion,
    find_flow,
    find_motion,
    find_motions_ahead,
    find_still,
    keep_still,
    move,
)
from farm.recipe.picture_sizes import compute_flow_size


def make_texture(side: int, seed: int) -> np.ndarray:
    """Return soft noise, (side, side, 3) in [0, 1]."""
    import cv2

    noise = np.random.default_rng(seed).random((side, side, 3), dtype=np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return ((soft - soft.min()) / (soft.max() - soft.min())).astype(np.float32)


@pytest.fixture(scope="module")
def clip() -> MovingDisc:
    return MovingDisc(make_texture(260, 1), make_texture(140, 2), height=72, width=96, radius=16)


def measure_errors(motion: Motion, true: Flow) -> np.ndarray:
    return np.hypot(*(motion.flow - true).transpose(2, 0, 1))


def test_flow_is_found_where_it_is_called_reliable(clip: MovingDisc) -> None:
    motion = find_motion(clip.draw(1), clip.draw(0))
    held = motion.weight > 0.5
    assert measure_errors(motion, clip.find_flow(1, 0))[held].mean() < 0.3
    assert clip.find_visible(1, 0)[held].mean() > 0.97  # what was hidden is not called reliable
    assert held.mean() > 0.6
    assert motion.weight.min() == 0


def test_a_moved_frame_is_the_other_one_where_it_is_held(clip: MovingDisc) -> None:
    hold = move(clip.draw(0), find_motion(clip.draw(1), clip.draw(0)))
    apart = np.abs(255 * hold.picture[0].permute(1, 2, 0).numpy() - clip.draw(1))
    assert hold.picture.shape == (1, 3, 72, 96)
    assert apart[hold.weight[0, 0].numpy() > 0.5].mean() < 6
    assert np.abs(clip.draw(0).astype(float) - clip.draw(1)).mean() > 9


@pytest.mark.slow
def test_a_long_way_is_found_by_steps_and_not_at_once(clip: MovingDisc) -> None:
    frames = [clip.draw(n) for n in range(13)]
    true, stepwise, direct = (
        clip.find_flow(0, 12),
        *(motion for motion in (find_motions_ahead(frames)[0], find_motion(frames[0], frames[-1]))),
    )
    seen = clip.find_visible(0, 12)
    assert np.median(measure_errors(stepwise, true)[seen]) < 0.5
    assert measure_errors(stepwise, true)[seen].mean() < 0.5 * measure_errors(direct, true)[seen].mean()


def test_what_differs_in_colour_alone_is_found() -> None:
    def draw(left: int) -> Frame:
        frame = np.full((64, 96, 3), (60, 124, 98), np.uint8)
        frame[24:40, left : left + 16] = (200, 60, 60)  # of the same lightness, 101.9
        return frame

    # Given a square that goes 6 px to the right, which in grey is not there
    frame, other = draw(46), draw(40)
    flow = find_flow(frame, other)
    # Then it is found where it was
    assert np.median(flow[24:40, 46:62], axis=(0, 1)) == pytest.approx([-6, 0], abs=0.5)
    # And in grey nothing is
    greys = [np.asarray(Image.fromarray(each).convert("L").convert("RGB")) for each in (frame, other)]
    assert np.abs(find_flow(*greys)).max() < 0.5


def test_flow_is_the_same_for_any_number_of_threads(clip: MovingDisc) -> None:
    import cv2

    before, found = cv2.getNumThreads(), []
    try:
        for threads in (1, 3):
            cv2.setNumThreads(threads)
            found.append(find_flow(clip.draw(1), clip.draw(0)))
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(found[0], found[1])


def test_noise_is_still_and_what_moves_is_not(clip: MovingDisc) -> None:
    frame = clip.draw(0)
    noise = np.random.default_rng(3).normal(0, 1.5, frame.shape)
    grainy = np.clip(frame + noise, 0, 255).astype(np.uint8)
    brighter = np.clip(frame.astype(int) + 6, 0, 255).astype(np.uint8)
    assert find_still(frame, frame).min() == 1
    assert find_still(frame, grainy).mean() > 0.9
    assert find_still(frame, brighter).max() < 0.1
    assert find_still(frame, clip.draw(1)).mean() < 0.1


def test_what_is_still_has_the_painted_pixels_themselves(clip: MovingDisc) -> None:
    painted, still = clip.draw(5), np.zeros((72, 96), np.float32)
    still[:, :40] = 1
    hold = keep_still(move(clip.draw(3), find_motion(clip.draw(1), clip.draw(0))), painted, still)
    found = np.rint(255 * hold.picture[0].permute(1, 2, 0).numpy()).astype(np.uint8)
    np.testing.assert_array_equal(found[:, :40], painted[:, :40])
    assert float(hold.weight[..., :40].min()) == 1


@pytest.mark.parametrize(
    ("frame", "picture", "expected"),
    [
        ((1080, 1920), (288, 512), (288, 512)),
        ((360, 640), (1080, 1920), (360, 640)),
        ((2160, 3840), (2160, 3840), (576, 1024)),
    ],
)
def test_flow_is_looked_for_at_a_bounded_size(
    frame: tuple[int, int], picture: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert compute_flow_size(frame, picture) == expected


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, clip: MovingDisc) -> None:
    frame: Frame = clip.draw(0)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(FlowUnavailable, match="extra `film`"):
        find_flow(frame, frame)
