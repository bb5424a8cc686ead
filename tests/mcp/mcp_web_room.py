"""An MCP server at an address, and a server for logins: on this machine, in this process."""

import asyncio
import base64
import hashlib
import json
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlencode

import uvicorn
from mcp_room import until
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route


class Site:
    """`tokens`: who may come in; None lets everybody in."""

    def __init__(self, tokens=None):
        self.tokens = tokens
        self.base = ""
        self.requests = []
        """(method, path, headers) of all that came."""
        self.clients = {}
        self.codes = {}
        self.refused = None
        """An error the login server sends the browser back with."""
        self.lifetime = 3600
        self.renewals = 0
        self.broken = None
        """A status that every message is answered with."""

    def app(self):
        known = "/.well-known"
        return Starlette(
            routes=[
                Route("/mcp", self.mcp, methods=["GET", "POST", "DELETE"]),
                Route(f"{known}/oauth-protected-resource/mcp", self.resource),
                Route(f"{known}/oauth-authorization-server", self.metadata),
                Route("/register", self.register, methods=["POST"]),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
            ]
        )

    def saw(self, path):
        return [headers for _, where, headers in self.requests if where == path]

    async def mcp(self, request):
        self.requests.append((request.method, "/mcp", dict(request.headers)))
        if self.tokens is not None:
            given = request.headers.get("authorization", "")
            if given.removeprefix("Bearer ") not in self.tokens:
                where = f"{self.base}/.well-known/oauth-protected-resource/mcp"
                header = {"www-authenticate": f'Bearer resource_metadata="{where}"'}
                return Response(status_code=401, headers=header)
        if self.broken is not None:
            return Response(status_code=self.broken)
        if request.method != "POST":
            return Response(status_code=405)
        message = await request.json()
        if "id" not in message:
            return Response(status_code=202)
        result = self.answer(message["method"], message.get("params") or {})
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def answer(self, method, params):
        match method:
            case "initialize":
                return {
                    "protocolVersion": params["protocolVersion"],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "web", "version": "1"},
                }
            case "tools/list":
                schema = {"type": "object", "properties": {}}
                return {"tools": [{"name": "echo", "inputSchema": schema}]}
            case "tools/call":
                text = json.dumps(params["arguments"])
                return {"content": [{"type": "text", "text": text}]}
            case _:
                return {}

    async def resource(self, _request):
        return JSONResponse(
            {"resource": f"{self.base}/mcp", "authorization_servers": [self.base + "/"],
             "scopes_supported": ["read", "write"]}
        )  # fmt: skip

    async def metadata(self, _request):
        return JSONResponse(
            {
                "issuer": self.base + "/",
                "authorization_endpoint": f"{self.base}/authorize",
                "token_endpoint": f"{self.base}/token",
                "registration_endpoint": f"{self.base}/register",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
            }
        )

    async def register(self, request):
        given = await request.json()
        name = f"client-{len(self.clients) + 1}"
        self.clients[name] = given
        return JSONResponse({**given, "client_id": name}, status_code=201)

    async def authorize(self, request):
        asked = dict(request.query_params)
        self.requests.append(("GET", "/authorize", asked))
        back = {"state": asked["state"]}
        if self.refused:
            back["error"] = self.refused
        else:
            code = f"code-{len(self.codes) + 1}"
            self.codes[code] = asked
            back["code"] = code
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", status_code=302)

    async def token(self, request):
        given = {
            key: values[0] for key, values in parse_qs((await request.body()).decode()).items()
        }
        self.requests.append(("POST", "/token", given))
        if given["grant_type"] == "refresh_token":
            if given["refresh_token"] != "again":
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
            self.renewals += 1
            return self.grant(f"renewed-{self.renewals}")
        asked = self.codes.pop(given["code"])
        digest = hashlib.sha256(given["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if challenge != asked["code_challenge"] or given["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return self.grant("fresh")

    def grant(self, token):
        self.tokens = {token}
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime,
             "refresh_token": "again"}
        )  # fmt: skip


@asynccontextmanager
async def serving(site):
    """The site, up and running; its address is `site.base`."""
    config = uvicorn.Config(
        site.app(), port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server._serve())
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        site.base = f"http://127.0.0.1:{port}"
        try:
            yield site
        finally:
            server.should_exit = True
            await task


async def browse(url):
    """What a browser does: go there, and where it is sent."""
    import httpx2

    async with httpx2.AsyncClient(follow_redirects=True, trust_env=False) as client:
        return await client.get(url)
