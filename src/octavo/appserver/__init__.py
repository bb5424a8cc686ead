"""The app server: one engine over JSON-RPC, for editors and for clients in other languages."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from octavo.appserver.listening import serve_stdio

__all__ = ["serve_stdio"]


def __getattr__(name: str) -> object:
    if name != "serve_stdio":
        raise AttributeError(f"module 'octavo.appserver' has no attribute {name!r}")
    from octavo.appserver.listening import serve_stdio  # noqa: PLC0415 - loads the engine

    return serve_stdio
