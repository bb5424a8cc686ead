"""Text for people: what a command made up cannot forge a line of ours."""


def one_line(text: str) -> str:
    """Control characters escaped: a path may contain a newline."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def encodable(value: object) -> object:
    """The same value with bytes that are no text written as escapes, for JSON."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {key: encodable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [encodable(inner) for inner in value]
        case _:
            return value
