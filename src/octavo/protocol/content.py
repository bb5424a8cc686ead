"""What a user gives to a turn, and the parts messages are made of on the wire.

Parts carry the tags of the Responses API; the codecs of the other wires translate them.
"""

from typing import Literal

from msgspec import Struct

ImageDetail = Literal["auto", "low", "high", "original"]


class TextInput(Struct, frozen=True, kw_only=True, tag="text"):
    """Words of the user."""

    text: str


class ImageInput(Struct, frozen=True, kw_only=True, tag="image"):
    """A picture: a file on this machine, or a `data:` (or `https:`) URL. Exactly one of the two."""

    path: str | None = None
    url: str | None = None
    detail: ImageDetail | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.url is None):
            raise ValueError("an image is given either as a path or as a URL")


UserInput = TextInput | ImageInput


class InputText(Struct, frozen=True, kw_only=True, tag="input_text"):
    """Text the model reads: from users, developers, tools."""

    text: str


class OutputText(Struct, frozen=True, kw_only=True, tag="output_text"):
    """Text the model wrote."""

    text: str


class InputImage(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="input_image"):
    """A picture the model sees, as a URL (mostly a `data:` URL)."""

    image_url: str
    detail: ImageDetail | None = None


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal"):
    """The model declined, in its own words."""

    refusal: str


ContentPart = InputText | OutputText | InputImage | Refusal


def text_of(parts: tuple[ContentPart, ...]) -> str:
    """The words of a message, pictures left out."""
    return "".join(
        part.refusal if isinstance(part, Refusal) else part.text
        for part in parts
        if not isinstance(part, InputImage)
    )
