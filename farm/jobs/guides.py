"""Files that steer a picture besides photograph and paintings: where each painting paints, what stays,
and what the picture begins from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farm.counts import format_count
from farm.database.models import PictureRole
from farm.errors import InvalidInput, Problem
from farm.pictures.decode import Channels
from farm.pictures.decoder_request import PictureFile
from farm.pictures.marks import Marks, leave_nothing
from farm.recipe import Recipe
from farm.recipe.picture_sizes import ALL_STAYS, NOTHING_LEFT, name_mask

MASK_MEANS = (
    "Where a painting paints: white there, black elsewhere, grey between. One for each painting, in"
    " their order, or none. Of strokes in one colour on nothing the alpha counts. In the photograph's"
    " proportion."
)
KEEP_MEANS = "Where the photograph stays as it is: white there. In the photograph's proportion."
INIT_MEANS = "What the picture begins from. In the photograph's proportion."


@dataclass(frozen=True)
class GuideFiles:
    """Files as they were sent."""

    # One for each painting, in their order; empty: each painting paints everywhere.
    masks: tuple[bytes, ...] = ()
    # None: the photograph stays nowhere.
    keep: bytes | None = None
    # None: what the recipe says.
    init: bytes | None = None

    @property
    def parts(self) -> list[bytes]:
        """Parts of a request's digest: none where nothing steers, as before there were any."""
        named = ((b"mask", self.masks), (b"keep", (self.keep,)), (b"init", (self.init,)))
        return [
            part for name, files in named for file in files if file is not None for part in (name, file)
        ]

    def list_files(self) -> list[tuple[PictureRole, PictureFile]]:
        """List them as they are checked, each under its role."""
        masks = [
            PictureFile(mask, name_mask(number, len(self.masks)), channels=Channels.MAP)
            for number, mask in enumerate(self.masks, 1)
        ]
        found = [(PictureRole.MASK, mask) for mask in masks]
        if self.keep is not None:
            found.append((PictureRole.KEEP, PictureFile(self.keep, "keep", channels=Channels.MAP)))
        if self.init is not None:
            found.append((PictureRole.INIT, PictureFile(self.init, "init")))
        return found

    def complete(self, recipe: Recipe) -> Recipe:
        """Return the recipe for a picture with these: with a start among them, `init` says so.

        Raises:
            InvalidInput: the recipe asks for another start.
        """
        return recipe if self.init is None else recipe.begin_with_picture()

    def check_number(self, paintings: int) -> None:
        """Check that each painting has a mask, or none has.

        Raises:
            InvalidInput: there are more or fewer.
        """
        if self.masks and len(self.masks) != paintings:
            times = "once" if len(self.masks) == 1 else f"{len(self.masks)} times"
            these = format_count(paintings, "painting")
            message = f"was sent {times} for {these}; send one for each, in their order, or none"
            raise InvalidInput(Problem("mask", message))


NO_GUIDES = GuideFiles()


def check_leaves_something(masks: Sequence[Marks], keep: Marks | None) -> None:
    """Check that masks and what stays, together, leave something to paint.

    Raises:
        InvalidInput: they leave nothing.
    """
    if keep is None:
        return
    if not keep.is_open.any():
        raise InvalidInput(Problem("keep", NOTHING_LEFT))
    if masks and leave_nothing(masks, keep):
        raise InvalidInput(*ALL_STAYS)
