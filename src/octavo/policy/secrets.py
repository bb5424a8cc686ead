"""Where credentials lie in a home folder: not to be read by commands unless the settings say so.

A table and nothing else, so that the fastest way to a sandbox can load it. Sources: the manuals
of the programs named; a folder stands for everything in it. What is read by nearly every command
of its program (`~/.ssh/config`, `~/.gitconfig`) stays readable: only what opens a door is here.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODES = ("none", "home", "all")
"""`deny_secrets`: nothing, the home folder's stores, and the workspace's `.env` files as well."""

SSH_KEYS = (
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "identity",
)

HOME = (
    # keys
    *(f".ssh/{name}" for name in SSH_KEYS),
    ".gnupg/private-keys-v1.d", ".gnupg/secring.gpg", ".password-store", ".age", ".config/sops/age",
    # clouds and clusters
    ".aws/credentials", ".aws/sso", ".aws/cli/cache", ".azure", ".config/gcloud", ".boto",
    ".kube/config", ".kube/cache", ".oci", ".aliyun", ".bluemix", ".config/doctl", ".config/hcloud",
    ".config/scw", ".config/linode-cli", ".config/rclone/rclone.conf", ".s3cfg", ".fly",
    ".config/heroku", ".vault-token", ".terraform.d/credentials.tfrc.json", ".terraformrc",
    ".pulumi/credentials.json", ".config/op", ".config/Bitwarden CLI",
    # registries and forges
    ".npmrc", ".yarnrc.yml", ".pypirc", ".netrc", "_netrc", ".git-credentials",
    ".config/git/credentials", ".config/gh/hosts.yml", ".config/glab-cli/config.yml",
    ".config/hub", ".docker/config.json", ".config/containers/auth.json", ".cargo/credentials",
    ".cargo/credentials.toml", ".gem/credentials", ".m2/settings.xml", ".m2/settings-security.xml",
    ".gradle/gradle.properties", ".composer/auth.json", ".config/composer/auth.json",
    ".nuget/NuGet/NuGet.Config", ".config/NuGet/NuGet.Config", ".config/huggingface/token",
    ".cache/huggingface/token",
    # other agents, and ourselves
    ".codex/auth.json", ".octavo/auth.json", ".claude/.credentials.json", ".gemini/oauth_creds.json",
    # databases
    ".pgpass", ".my.cnf", ".mylogin.cnf",
    # browsers and key rings
    ".mozilla/firefox", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware",
    ".config/microsoft-edge", ".config/opera", ".config/vivaldi", ".thunderbird",
    "snap/firefox/common/.mozilla", ".var/app/org.mozilla.firefox/.mozilla",
    ".local/share/keyrings", ".local/share/kwalletd",
    "Library/Keychains", "Library/Cookies", "Library/Application Support/Google/Chrome",
    "Library/Application Support/Firefox", "Library/Application Support/BraveSoftware",
    "Library/Application Support/Microsoft Edge",
)  # fmt: skip
"""Below the home folder."""

ENV_FILES = (
    ".env", ".envrc", ".env.local", ".env.development", ".env.development.local", ".env.test",
    ".env.test.local", ".env.staging", ".env.production", ".env.production.local",
)  # fmt: skip
"""In a workspace; `.env.example` and its kin hold no secrets and are not here."""

WHY = 'credentials, denied by deny_secrets = "home"'
WHY_ENV = 'an environment file, denied by deny_secrets = "all"'


def in_home(home: str, exists: "Callable[[str], bool]") -> "Iterator[str]":
    """The stores that are there, as absolute paths. What is missing cannot be read anyway."""
    if not home.startswith("/") or home == "/":
        return
    folders: dict[str, bool] = {}
    for name in HOME:
        top = name.partition("/")[0]
        there = folders.get(top)
        if there is None:
            there = folders[top] = exists(f"{home.rstrip('/')}/{top}")
        path = f"{home.rstrip('/')}/{name}"
        if there and (top == name or exists(path)):
            yield path
