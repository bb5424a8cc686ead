"""The variables of a command that has to use the proxy."""

from octavo.proxy.env import BUNDLES, bundle_variables, given_bundles, proxy_variables

URL = "http://127.0.0.1:3128"


def variables(**more):
    return proxy_variables(**{"host": "127.0.0.1", "port": 3128, "given": {}, **more})


def test_every_program_finds_its_variable():
    found = variables()
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY", "npm_config_proxy", "PIP_PROXY", "grpc_proxy",
                 "WSS_PROXY", "DOCKER_HTTPS_PROXY", "YARN_HTTP_PROXY", "BUNDLE_HTTP_PROXY"):  # fmt: skip
        assert found[name] == URL
    assert found["FTP_PROXY"] == "socks5h://127.0.0.1:3128"
    assert found["NODE_USE_ENV_PROXY"] == "1"
    assert found["CLOUDSDK_PROXY_PORT"] == "3128"
    assert variables(socks=False)["ftp_proxy"] == URL


def test_nothing_goes_past_the_proxy_unless_local_addresses_are_open():
    assert variables()["NO_PROXY"] == ""
    assert variables()["CODEX_NETWORK_ALLOW_LOCAL_BINDING"] == "0"
    opened = variables(local_binding=True)
    assert opened["no_proxy"].startswith("localhost,127.0.0.1,::1,")
    assert opened["CODEX_NETWORK_ALLOW_LOCAL_BINDING"] == "1"


def test_credentials_are_quoted_in_addresses():
    found = variables(credentials=("octavo.x", "p/w@:"))
    assert found["HTTP_PROXY"] == "http://octavo.x:p%2Fw%40%3A@127.0.0.1:3128"
    assert found["CLOUDSDK_PROXY_PASSWORD"] == "p/w@:"


def test_an_address_of_ipv6_gets_brackets():
    assert variables(host="::1")["HTTP_PROXY"] == "http://[::1]:3128"


def test_options_of_java_are_added_to_those_that_are_there():
    found = variables(given={"JAVA_TOOL_OPTIONS": "-Xmx1g"})["JAVA_TOOL_OPTIONS"]
    assert found.split()[0] == "-Xmx1g"
    assert "-Dhttps.proxyPort=3128" in found
    again = variables(given={"JAVA_TOOL_OPTIONS": found})["JAVA_TOOL_OPTIONS"]
    assert again == found


def test_a_way_for_ssh_is_only_added_where_there_is_none():
    assert "socat" in variables()["GIT_SSH_COMMAND"]
    assert "nc -X 5" in variables(platform="darwin")["GIT_SSH_COMMAND"]
    assert "GIT_SSH_COMMAND" not in variables(platform="win32")
    assert "GIT_SSH_COMMAND" not in variables(given={"GIT_SSH_COMMAND": "ssh -v"})


def test_roots_the_command_had_set_are_merged_and_not_overwritten():
    given = {"SSL_CERT_FILE": "/mine.pem", "PIP_CERT": "", "HOME": "/h"}
    assert given_bundles(given) == [("SSL_CERT_FILE", "/mine.pem")]
    found = bundle_variables("/bundle.pem", {"SSL_CERT_FILE": "/merged.pem"})
    assert found["SSL_CERT_FILE"] == "/merged.pem"
    assert found["CURL_CA_BUNDLE"] == "/bundle.pem"
    assert set(found) == set(BUNDLES)
