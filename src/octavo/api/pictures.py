"""Pictures that the user gives with a prompt: read as the user, not through the profile."""

import os

from octavo.patch.plan import Other
from octavo.protocol.errors import UsageError
from octavo.tools.disk import read_file
from octavo.tools.view_image import LONGEST_SIDE, recognised, smaller


def data_url(path: str) -> str:
    """A picture's file as a `data:` URL, made smaller where that is possible. Raises UsageError."""
    try:
        found = read_file(os.path.abspath(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    if isinstance(found, Other):
        raise UsageError(f"{path} is not a picture")
    picture = recognised(path, found)
    if max(picture.width, picture.height) > LONGEST_SIDE:
        picture = smaller(picture) or picture
    return picture.url
