import pytest

from octavo.protocol.content import ImageInput, InputImage, InputText, OutputText, Refusal, text_of


def test_an_image_has_exactly_one_source():
    ImageInput(path="a.png")
    ImageInput(url="data:image/png;base64,AA==")
    for wrong in ({}, {"path": "a", "url": "b"}):
        with pytest.raises(ValueError, match="either"):
            ImageInput(**wrong)


def test_the_words_of_a_message_leave_pictures_out():
    parts = (
        InputText(text="a"),
        InputImage(image_url="data:x"),
        OutputText(text="b"),
        Refusal(refusal="c"),
    )
    assert text_of(parts) == "abc"
