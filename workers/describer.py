"""Describer: a thread that answers what forms ask about pictures (`farm/pictures/descriptors.py`).

Beside the renderings, since a person at a form does not wait for one to end, and on the CPU, since a
rendering counts on the memory of its card. It takes a fifth of a second for a picture.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from sqlalchemy.exc import SQLAlchemyError

from farm.database import sessions
from farm.engine import descriptor, weights
from farm.engine.pyramid import to_tensor
from farm.engine.vgg import VGG
from farm.errors import InvalidInput
from farm.pictures import descriptors
from farm.pictures.decoder_child import Child, Limits, PictureFile
from farm.recipe.picture_sizes import Size
from farm.settings import settings

LOOK_SECONDS = 2.0  # between two looks for requests
AT_ONCE = 8  # pictures in one look
IDLE_SECONDS = 600.0  # without a request, after which network and process are given up
# Whichever of these is cached first; never fetched for this alone. Most farms have the first.
NETWORKS = ("vgg16", "vgg19", "vgg16-bsds")
CPU = torch.device("cpu")

log = structlog.get_logger()


class Describer:
    """Answers requests from `run`'s start to the end of the process."""

    def __init__(self) -> None:
        self._vgg: VGG | None = None
        self._child = Child()  # decodes apart, as `workers/decoding.py` does for renderings
        self._asked_at = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="describer", daemon=True).start()

    def describe_requested(self) -> int:
        """Answer what is asked for, and return the number of pictures."""
        with sessions.read_session() as session:
            requested = descriptors.list_requested(session, AT_ONCE)
        if not requested:
            self._release_idle()
            return 0
        self._asked_at = time.monotonic()
        if (vgg := self._load()) is None:
            return 0
        for sha256, picture in requested:
            values = self._describe(picture, vgg)
            with sessions.write_session() as session:
                descriptors.answer(session, sha256, vgg.network, values)
        return len(requested)

    def close(self) -> None:
        """End the process that decodes."""
        self._child.end()

    def _run(self) -> None:
        wait = threading.Event().wait
        while True:
            try:
                self.describe_requested()
            except SQLAlchemyError as error:  # a database that is away is asked again
                log.warning("requests for descriptors not read", error=str(error))
            except Exception:  # renderings go on
                log.exception("a picture was not described")
            wait(LOOK_SECONDS)

    def _load(self) -> VGG | None:
        """Load the network, kept from then on; None: none is cached yet."""
        folder = settings().weights_dir
        cached = set(weights.list_cached(folder))
        name = next((name for name in NETWORKS if name in cached), None)
        if self._vgg is None and name is not None:
            self._vgg = VGG(name, weights.load(name, folder), CPU)
        return self._vgg

    def _describe(self, picture: bytes, vgg: VGG) -> NDArray[np.float32] | None:
        """Describe a picture; None: it cannot be decoded."""
        file = PictureFile(picture, "picture", shortest=1)
        try:
            decoded = self._child.decode(file, Limits.from_settings(), _fit)
        except InvalidInput as error:
            log.info("picture not described", reason=str(error))
            return None
        pixels = to_tensor(decoded.pixels, CPU)
        return descriptor.describe(pixels, vgg, descriptors.LAYERS, descriptors.PIXELS)

    def _release_idle(self) -> None:
        """Give up what takes memory, after a while without requests."""
        if self._vgg is not None and time.monotonic() - self._asked_at > IDLE_SECONDS:
            self._vgg = None
            self._child.end()


def _fit(size: Size) -> Size:
    """Return the size at which a picture is decoded: what it is looked at, or its own."""
    height, width = size
    scale = min(1.0, descriptors.PIXELS / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
