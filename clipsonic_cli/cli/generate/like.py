"""``--like``: a sound file whose recipe is used again, and whose format is kept."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipsonic_cli.cli.generate.outputs import DEFAULT_NAME
from clipsonic_cli.config import Finish, Recipe
from clipsonic_cli.errors import UsageError

if TYPE_CHECKING:
    from clipsonic_cli.pipeline import ClipSonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A sound to make again, or one like it."""

    path: Path
    recipe: Recipe
    finish: Finish
    name: str
    """Default name of the new file, of the same format."""
    bits: str | None
    """The original's value of ``--bits``; None where its format has none."""
    images: tuple[str, ...]
    """Fields of the recipe with images that are used again."""

    @classmethod
    def read(cls, path: Path, *, again: bool, negative: bool) -> "Original":
        """Read the recipe and the format of a sound file.

        Args:
            path: The file; what it holds counts, not its ending.
            again: Whether the query stays, so that the name follows the file's.
            negative: Whether the negative stays.

        Raises:
            UsageError: The file carries no recipe, or an image of it that stays is gone.
        """
        from clipsonic_cli.audio.files import NotSound, open_sound
        from clipsonic_cli.sound import read_making

        recipe, finish = read_making(path)
        ending, bits = "wav", None
        with contextlib.suppress(NotSound), open_sound(path) as info:  # or a format such as MP4
            ending = {"FLAC": "flac", "OGG": "ogg"}.get(info.format, "wav")
            bits = {"PCM_16": "16", "PCM_24": "24", "FLOAT": "float"}.get(info.subtype)
        stem = DEFAULT_NAME.rpartition(".")[0]
        if again:
            stem = f"{path.stem}-again".replace("{", "{{").replace("}", "}}")
        name = f"{stem}.{ending}"
        stays = {"image": again, "negative_image": negative}
        images = tuple(field for field in stays if stays[field])
        for field in images:
            image = getattr(recipe, field)
            if image is not None and not os.path.isfile(image):  # noqa: PTH113 - never raises
                raise UsageError(
                    f"'{path}' was made from the image '{image}', which is not there; if it was "
                    f"moved, give it with --{field.removesuffix('_image')}."
                )
        return cls(path=path, recipe=recipe, finish=finish, name=name, bits=bits, images=images)

    def check_images(self, recipe: Recipe) -> None:
        """Check that the digests of images in a complete recipe are as in the original's."""
        for field in self.images:
            if getattr(self.recipe, f"{field}_sha256") != getattr(recipe, f"{field}_sha256"):
                raise UsageError(
                    f"The image '{getattr(self.recipe, field)}' has changed since that sound was "
                    f"made. Give it with --{field.removesuffix('_image')} to use it anyway."
                )

    def check_weights(self, sonic: "ClipSonic") -> None:
        """Check that the model has the weights that the original was made with."""
        if self.recipe.model_id != sonic.parts.identity(sonic.needs(self.recipe)):
            raise UsageError(
                f"The weights of model '{self.recipe.model}' are not those that '{self.path}' was "
                f"made with. Give --model {self.recipe.model} to use them anyway."
            )
