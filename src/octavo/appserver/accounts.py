"""Methods about who is logged in: with an API key, kept in `auth.json`. Nobody has to be."""

from typing import TYPE_CHECKING, Any, Final

from octavo.appserver import params
from octavo.appserver.errors import invalid
from octavo.config.auth import KEY, kept_keys
from octavo.config.login import forget_key, keep_key
from octavo.config.providers import provider

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

Json = dict[str, Any]
LONGEST: Final = 16_384


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("account/read", params.AccountRead)(read)
    table.method("account/login/start", params.Login, tier="extended")(login)
    table.method("account/login/cancel", params.LoginCancel, tier="extended")(cancel)
    table.method("account/logout", tier="extended")(logout)
    table.method("getAuthStatus", tier="extended")(status)


async def read(server: "Server", connection: "Connection", asked: params.AccountRead) -> Json:
    """Who is logged in; nobody has to be."""
    needed = needs_login(server)
    known = needed and KEY in kept_keys(server.home)
    return {
        "account": {"type": "apiKey"} if known else None,
        "userId": None,
        "requiresOpenaiAuth": needed,
        "workspaceRouting": None,
    }


def needs_login(server: "Server") -> bool:
    """The provider of the settings takes its key from a login."""
    settings = server.engine.settings().settings
    return provider(settings).requires_openai_auth


async def login(server: "Server", connection: "Connection", asked: params.Login) -> Json:
    """Keep an API key for the built-in provider; other ways to log in belong to the vendor."""
    if asked.type != "apiKey":
        raise invalid(f"login with `{asked.type}` is not offered here: use `apiKey`")
    key = (asked.api_key or "").strip()
    if not key or len(key) > LONGEST or not key.isprintable():
        raise invalid("Invalid request: `apiKey` has to be a key")
    keep_key(server.home, KEY, key)
    done = {"loginId": None, "success": True, "error": None}
    connection.tell("account/login/completed", done)
    connection.tell("account/updated", {"authMode": "apikey", "planType": None})
    return {"type": "apiKey"}


async def cancel(server: "Server", connection: "Connection", asked: params.LoginCancel) -> Json:
    """Nothing is under way that could be cancelled."""
    return {"status": "notFound"}


async def logout(server: "Server", connection: "Connection", asked: object) -> Json:
    """Forget the key."""
    forget_key(server.home, KEY)
    connection.tell("account/updated", {"authMode": None, "planType": None})
    return {}


async def status(server: "Server", connection: "Connection", asked: object) -> Json:
    """The older form of `account/read`; the key itself is not told."""
    needed = needs_login(server)
    known = needed and KEY in kept_keys(server.home)
    return {
        "authMethod": "apikey" if known else None,
        "authToken": None,
        "requiresOpenaiAuth": needed,
    }
