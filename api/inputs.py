"""Pictures that come with a request: decoded safely, turned into pixels, and described for record and credential."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from api.decoding import DecodedImage
from api.errors import InvalidInputError, ServiceError
from api.publishing import Publisher
from audit import records
from provenance.fingerprint import fingerprint
from provenance.ingredients import Ingredient, Relationship

Role = Literal["image", "mask"]

_GREY_LEVELS = 16
"""How far the channels of a mask may lie apart: what a JPEG does to grey."""

_RELATIONSHIPS: dict[Role, Relationship] = {"image": "parentOf", "mask": "inputTo"}
_TITLES: dict[Role, str] = {"image": "Input image", "mask": "Mask"}  # never the file's name, which may name people


@dataclass(frozen=True, slots=True)
class Input:
    """One picture of a request and the part that it plays."""

    role: Role
    decoded: DecodedImage

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """What the generator takes: (H, W, 3) for an image, (H, W) for a mask. Raises `InvalidInputError`."""
        return self.decoded.pixels if self.role == "image" else _grey(self.decoded.pixels)


def decode_inputs(files: dict[Role, bytes | None], decode: Callable[[bytes], DecodedImage]) -> tuple[Input, ...]:
    """The pictures that there are, decoded by `decode`. Raises `InvalidInputError`, which names the parameter."""
    inputs = []
    for role, data in files.items():
        if data is not None:
            try:
                inputs.append(Input(role, decode(data)))
            except InvalidInputError as error:
                raise _naming(error, role) from error
    return tuple(inputs)


def task_for(*, image: object, mask: object, extend: object, scale: object) -> str:
    """The task that is meant where a caller names none, by what came with the request."""
    if image is None:
        return "text-to-image"
    if mask is not None:
        return "inpaint"
    if extend is not None:
        return "outpaint"
    return "image-to-image" if scale is None else "upscale"


def described(inputs: Sequence[Input]) -> tuple[records.Input, ...]:
    """What the record says: digests, format, size and role, and an image's fingerprint. The files are not kept."""
    return tuple(
        records.Input(
            role=one.role,
            sha256=one.decoded.sha256,
            media_type=one.decoded.media_type,
            size=len(one.decoded.source),
            width=one.decoded.width,
            height=one.decoded.height,
            fingerprint=fingerprint(one.decoded.pixels).iscc if one.role == "image" else None,
        )
        for one in inputs
    )


def ingredients(inputs: Sequence[Input]) -> tuple[Ingredient, ...]:
    """The pictures as the credential lists them: the image is what was edited, the mask only looked at."""
    return tuple(
        Publisher.ingredient(
            one.decoded.source, one.decoded.media_type, _RELATIONSHIPS[one.role], _TITLES[one.role], one.decoded.pixels
        )
        for one in inputs
    )


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    spread = int(np.ptp(pixels, axis=2).max())
    if spread > _GREY_LEVELS:
        raise InvalidInputError(
            "the mask is in colour; send a grey picture, white (or transparent) where the image is to be repainted",
            parameter="mask",
        )
    return np.asarray(pixels[..., 1])


def _naming(error: InvalidInputError, parameter: str) -> ServiceError:
    return type(error)(f"{parameter}: {error.message}", parameter=parameter)
