import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox.windows import sshconfig
from octavo.sandbox.windows.plan import Facts
from octavo.sandbox.windows.profileroots import EXCLUDED, expand_profile, read_roots

ME = "C:\\Users\\me"
HOME = ME + "\\.octavo"


class Disk:
    def __init__(self, **files):
        self.files = {f"{ME}\\{name.replace('/', chr(92))}": text for name, text in files.items()}

    def read(self, path):
        return self.files.get(path)

    def names(self, folder):
        start = folder + "\\"
        found = {path[len(start) :].split("\\")[0] for path in self.files if path.startswith(start)}
        return sorted(found)


def ssh(config, **more):
    disk = Disk(**{".ssh/config": config, **more})
    return set(sshconfig.dependencies(ME, disk.read, disk.names))


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("IdentityFile ~/keys/id", "keys\\id"),
        ("  identityfile=~\\keys\\id", "keys\\id"),
        ("CertificateFile = %d/certs/c", "certs\\c"),
        ("UserKnownHostsFile ${HOME}/hosts/k", "hosts\\k"),
        ('GlobalKnownHostsFile "~/with blank/k"', "with blank\\k"),
        (f'IdentityFile "{ME}\\\\a b\\\\id"', "a b\\id"),
        (f"IdentityFile {ME}\\q\\id # not this", "q\\id"),
        ("RevokedHostKeys ~/r", "r"),
        ("ControlPath ~/control/%h-%p", "control"),
        ("IdentityAgent ~/agent/sock", "agent\\sock"),
        ("PKCS11Provider ~/p11/x.dll", "p11\\x.dll"),
        ("SecurityKeyProvider ~/sk/x.dll", "sk\\x.dll"),
        ("XAuthLocation ~/xauth/x", "xauth\\x"),
        (f"ProxyCommand {ME}\\tools\\nc.exe -x %h", "tools\\nc.exe"),
        ("LocalCommand ~/lc/run", "lc\\run"),
        ("KnownHostsCommand ~/kh/run %H", "kh\\run"),
    ],
)
def test_every_directive_that_names_a_file_is_read(line, path):
    assert f"{ME}\\{path}" in {each.rstrip("\\") for each in ssh(line)}


@pytest.mark.parametrize(
    "line",
    [
        "IdentityFile none",
        "IdentityFile keys/id",
        "# IdentityFile ~/x",
        "Host ~/x",
        "",
        "IdentityFile",
    ],
)
def test_what_names_no_file_is_ignored(line):
    assert ssh(line) == {ME + "\\.ssh\\config"}


def test_several_values_on_a_line_count():
    found = ssh("UserKnownHostsFile ~/a/k ~/b/k none")
    assert {ME + "\\a\\k", ME + "\\b\\k"} <= found


def test_includes_are_followed_with_patterns_and_circles_end():
    found = ssh(
        "Include conf.d/*.conf ~/other\nInclude config",
        **{
            ".ssh/conf.d/one.conf": "IdentityFile ~/one/id\nInclude config",
            ".ssh/conf.d/two.txt": "IdentityFile ~/two/id",
            "other": "IdentityFile ~/three/id",
        },
    )
    assert ME + "\\one\\id" in found
    assert ME + "\\three\\id" in found
    assert ME + "\\two\\id" not in found


def test_an_include_without_matches_still_closes_the_folder_it_may_appear_in():
    assert ME + "\\more" in {path.rstrip("\\") for path in ssh("Include ~/more/*.conf")}


def test_a_chain_of_includes_ends():
    files = {f".ssh/f{at}": f"Include f{at + 1}\nIdentityFile ~/k{at}/id" for at in range(50)}
    found = ssh("Include f0", **files)
    assert ME + "\\k30\\id" in found
    assert ME + "\\k40\\id" not in found


@given(st.text(max_size=60))
def test_any_text_is_a_configuration(text):
    assert ME + "\\.ssh\\config" in ssh(text)


def test_a_backslash_outside_quotes_is_part_of_a_path():
    assert sshconfig.words('C:\\a\\b "c \\" d" e"f g"h') == ["C:\\a\\b", 'c " d', "ef gh"]


def test_the_profile_is_taken_apart_and_secrets_are_left_out():
    disk = Disk(**{
        ".ssh/config": "IdentityFile ~/Keys/id", "keys/id": "", "src/a": "", ".AWS/x": "",
        ".octavo/c": "", **{f"{name}/x": "" for name in EXCLUDED},
    })  # fmt: skip
    found = expand_profile(
        [ME.lower().replace("c:", "C:"), "C:\\Users", "D:\\data"],
        ME, home=HOME, read=disk.read, names=disk.names,
    )  # fmt: skip
    assert found == (ME + "\\src", "D:\\data")


def test_a_profile_that_cannot_be_listed_stays_closed():
    found = expand_profile([ME], ME, home=HOME, read=lambda _p: None, names=lambda _p: [])
    assert found == ()


def test_a_root_inside_an_excluded_folder_drops_out_too():
    disk = Disk()
    roots = [ME + "\\.ssh\\x", ME + "\\.Kube", HOME + "\\.sandbox"]
    assert expand_profile(roots, ME, home=HOME, read=disk.read, names=disk.names) == ()


def test_the_accounts_read_our_programs_the_system_and_the_workspace():
    disk = Disk(**{"src/a": "", "ws/a": ""})
    facts = Facts(user="", logon="", home=HOME, profile=ME, cwd=ME + "\\ws", runtime=("C:\\py",))
    found = read_roots(facts, [ME + "\\ws"], [], read=disk.read, names=disk.names)
    assert found[:2] == (HOME + "\\.sandbox-bin", "C:\\py")
    assert "C:\\Windows" in found
    assert ME + "\\src" in found
    assert ME + "\\ws" not in found
