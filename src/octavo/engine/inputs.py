"""The user's input as the model sees it: words as they are, pictures with their names.

Pure: pictures are read by whoever is passed in.
"""

from collections.abc import Callable, Iterable, Iterator

from octavo.protocol.content import (
    ContentPart,
    ImageInput,
    InputImage,
    InputText,
    TextInput,
    UserInput,
)
from octavo.protocol.errors import OctavoError
from octavo.protocol.history import Message

Load = Callable[[str], str]
"""A picture's file as a `data:` URL. Raises OctavoError, in words, when it is none."""


def user_message(inputs: Iterable[UserInput], load: Load) -> Message:
    """One message with everything the user gave, in order."""
    return Message(role="user", content=tuple(parts(inputs, load)))


def words_of(inputs: Iterable[UserInput]) -> str:
    """Only the words."""
    return "\n".join(one.text for one in inputs if isinstance(one, TextInput))


def parts(inputs: Iterable[UserInput], load: Load) -> Iterator[ContentPart]:
    number = 0
    for one in inputs:
        match one:
            case TextInput(text=text):
                yield InputText(text=text)
            case ImageInput(url=str(url)):
                yield InputImage(image_url=url, detail=one.detail)
            case ImageInput(path=path):
                number += 1
                yield InputText(text=f'<image name=[Image #{number}] path="{path}">')
                yield picture(path or "", load)
                yield InputText(text="</image>")


def picture(path: str, load: Load) -> ContentPart:
    """The picture, or words that say why it is not there: the turn goes on without it."""
    try:
        return InputImage(image_url=load(path), detail="original")
    except OctavoError as error:
        return InputText(text=f"[this picture could not be shown: {error}]")
