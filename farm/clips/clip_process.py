"""`python -m farm.clips.clip_process MEMORY CPU_SECONDS`: one clip in, and what is wanted of it out.

`clip_child.py` starts it. As `farm.pictures.decoder_process`, it reads strangers' files with decoders
written in C, so it has nothing to lose; it lives for one request.

A request is REQUEST, an order (JSON) and the file. Each message of the answer is MESSAGE and its body:
of LOOK a THUMBNAIL, JPEG; of READ each FRAME's pixels; of WRITE any number of PUT, a position in the
film's file and bytes that go there, and NEXT, which the parent answers by a frame's pixels; at last END,
a JSON object.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av  # all now: afterwards there are few files that it may open
import numpy as np
from PIL import Image

from farm.clips import colours, stills, video  # noqa: F401
from farm.clips.clip import Clip
from farm.clips.clip_messages import FRAME, LOOK, NEXT, POSITION, PUT, READ, REQUEST, Order
from farm.clips.cuts import SMALL, CutFinder
from farm.clips.encode import Encoder, Output
from farm.clips.frames import ClipLimits, Frame, check_frame_size
from farm.clips.sources import open_frames
from farm.counts import format_count
from farm.errors import InvalidInput, Problem, TooLarge
from farm.pictures.decode import THUMBNAIL as THUMBNAIL_SIDE
from farm.pictures.decoder_process import (
    BROKEN,
    END,
    LONGEST_MESSAGE,
    LONGEST_TRACE,
    OUT_OF_MEMORY,
    READY,
    THUMBNAIL,
    Parent,
    limit_itself,
    renew_cpu_limit,
    reserve_output,
)
from farm.pictures.jpeg import encode_jpeg
from farm.pictures.pixels import Pixels

if TYPE_CHECKING:  # a process for one clip loads no models of recipes
    from farm.recipe.picture_sizes import Size

LEAST_FRAMES = 2


def main() -> None:
    """Limit this process, then answer one request."""
    memory, cpu_seconds = (int(argument) for argument in sys.argv[1:])
    parent = Parent(sys.stdin.buffer, reserve_output())
    av.logging.set_level(None)
    in_force = limit_itself(memory)
    parent.write(b" ".join((READY, *(layer.encode() for layer in in_force))) + b"\n")
    serve(parent, lambda: renew_cpu_limit(cpu_seconds))


def serve(parent: Parent, on_request: Callable[[], None]) -> None:
    """Answer one request.

    Args:
        on_request: called before the clip is decoded.
    """
    with suppress(EOFError):
        kind, order_size, size = REQUEST.unpack(parent.read(REQUEST.size))
        order = json.loads(parent.read(order_size))
        data = parent.read(size)
        on_request()
        known = _answer(parent, kind, order, data)
        parent.send(END, json.dumps(known).encode())


def _answer(parent: Parent, kind: bytes, order: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Do what is asked; return what is known then, or what is wrong, as plain values."""
    try:
        if kind == LOOK:
            clip, thumbnail = look(data, ClipLimits(**order))
            parent.send(THUMBNAIL, thumbnail)
            return {"clip": clip.to_json()}
        if kind == READ:
            _read(parent, order, data)
            return {}
        return {"sound": _write(parent, order, data)}
    except InvalidInput as error:
        message = error.problems[0].message[:LONGEST_MESSAGE]
        return {"refused": type(error).__name__, "message": message}
    except MemoryError:
        return {"refused": OUT_OF_MEMORY}
    except EOFError:  # the parent went away
        raise
    except Exception:
        return {"refused": BROKEN, "trace": traceback.format_exc()[-LONGEST_TRACE:]}


def look(data: bytes, limits: ClipLimits) -> tuple[Clip, bytes]:
    """Decode a clip to its end; return it, and a thumbnail of its first frame, JPEG.

    Raises:
        NotAPicture, TooLarge, InvalidInput: what is wrong with it.
    """
    times: list[Fraction] = []
    cuts, size, thumbnail = CutFinder(), (0, 0), b""
    with open_frames(data, limits) as frames:
        for number, frame in enumerate(frames):
            _check_length(number, frame.time - (times[0] if times else frame.time), limits)
            if number == 0:
                size, thumbnail = _look_at_first(frame, limits)
            elif frame.measure() != size:
                raise InvalidInput(Problem("", _describe_change(number, frame.measure(), size)))
            cuts.add(frame.draw(SMALL))
            times.append(frame.time)
            last = frame
    if len(times) < LEAST_FRAMES:
        held = "only one frame; send it as a photograph" if times else "no frame"
        raise InvalidInput(Problem("", f"holds {held}"))
    duration = times[-1] - times[0] + (last.seconds or times[-1] - times[-2])
    shown = tuple(time - times[0] for time in times)
    return Clip(*size, shown, duration, cuts.find(), _has_sound(data)), thumbnail


def _check_length(number: int, time: Fraction, limits: ClipLimits) -> None:
    if number >= limits.frames:
        most = format_count(limits.frames, "frame")
        raise TooLarge(Problem("", f"has more than {most}, which is the limit"))
    if time > limits.seconds:
        longest = format_count(limits.seconds / 60, "minute")
        raise TooLarge(Problem("", f"is longer than {longest}, which is the limit"))


def _look_at_first(frame: Frame, limits: ClipLimits) -> tuple[Size, bytes]:
    """Return a frame's size and a thumbnail of it."""
    height, width = size = frame.measure()
    check_frame_size(size, limits.megapixels)
    scale = min(1.0, THUMBNAIL_SIDE / max(size))
    small = frame.draw((max(1, round(height * scale)), max(1, round(width * scale))))
    return size, encode_jpeg(Image.fromarray(small), quality=85)


def _describe_change(number: int, size: Size, first: Size) -> str:
    return (
        f"changes its size: frame {number} is {size[1]} x {size[0]} px, those before it are "
        f"{first[1]} x {first[0]}"
    )


def _has_sound(data: bytes) -> bool:
    from farm.clips.sound import find_sound

    return find_sound(data) is not None


def _read(parent: Parent, order: dict[str, Any], data: bytes) -> None:
    """Send the frames that are asked for, in the order's size."""
    size, wanted = (order["height"], order["width"]), iter(order["numbers"])
    limits = ClipLimits(order["numbers"][-1] + 1, float("inf"), order["megapixels"])
    number = next(wanted, None)
    with open_frames(data, limits) as frames:
        for at, frame in enumerate(frames):
            if at == number:
                parent.send(FRAME, np.ascontiguousarray(frame.draw(size)).data.cast("B"))
                number = next(wanted, None)
                if number is None:
                    return
    raise InvalidInput(Problem("", f"has no frame {number}"))


def _write(parent: Parent, order: dict[str, Any], data: bytes) -> str:
    """Encode the frames that the parent gives into a file that it keeps; return what became of sound."""
    asked = Order.from_json(order)
    output = Output(lambda position, body: parent.send(PUT, POSITION.pack(position) + body))
    with Encoder(asked, data, output) as encoder:
        for number in range(len(asked.times)):
            encoder.add(number, _receive_frame(parent, asked.size))
    return str(encoder.sound)


def _receive_frame(parent: Parent, size: Size) -> Pixels:
    height, width = size
    parent.send(NEXT, b"")
    return np.frombuffer(parent.read(height * width * 3), np.uint8).reshape(height, width, 3)


if __name__ == "__main__":
    main()
