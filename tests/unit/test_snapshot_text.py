"""The parts of a snapshot that only look at text."""

import pytest

from evq.agent.sources.workdir import read_header
from evq.core.errors import CodeFailed
from evq.core.sdk.git import commit_text, is_object_id, shown, write_commit
from evq.core.sdk.secrets_check import secret_name, secret_text
from evq.core.sdk.snapshot import without_secrets
from evq.core.sdk.worktree import Status, read_status

ID = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@pytest.mark.parametrize(
    "path",
    [
        *(".env", ".env.local", "prod.env", "a/b/.ENV", "tls.key", "tls.pem", "id_rsa"),
        *("id_ed25519_work", "credentials", "credentials.json", ".netrc", "a.p12", "kubeconfig"),
        *("secrets.yaml", ".git-credentials", ".pypirc", "vault.kdbx"),
    ],
)
def test_names_of_secrets(path):
    assert secret_name(path)


@pytest.mark.parametrize(
    "path",
    [
        *(".env.example", ".env.template", "id_rsa.pub", "keys.py", "environment.yml"),
        *("key", "monkey.txt", ".environment", "pem/readme.md", "secrets/readme.md"),
    ],
)
def test_names_of_other_files(path):
    assert secret_name(path) is None


def test_secrets_inside_of_files():
    assert secret_text("a/.npmrc", b"//r.example/:_authToken=1")
    assert secret_text("robot.json", b'{"private_key" : "x"}')
    assert secret_text("config.json", b'{"auths": {"r.example": {}}}')
    assert secret_text("a/.npmrc", b"save-exact=true") is None
    assert secret_text("config.json", b'{"auths": {}, "lr": 1}') is None
    assert secret_text("train.py", b'{"private_key": "x"}') is None


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://me:token@example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://token@example.org/a", "https://example.org/a"),
        ("https://a:p@ss@example.org:8443/a?private_token=1#x", "https://example.org:8443/a"),
        ("ssh://git:password@example.org:22/a.git", "ssh://git@example.org:22/a.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("../sibling", "../sibling"),
        ("file:///srv/git/a.git", "file:///srv/git/a.git"),
    ],
)
def test_addresses_lose_what_opens_them(address, kept):
    assert without_secrets(address) == kept


def test_reading_the_status_of_git():
    hashes = f"100644 100644 100644 {ID} {ID}"
    raw = "\0".join(
        [
            f"# branch.oid {ID}",
            "# branch.head main",
            "# branch.ab +1 -0",
            f"1 M. N... {hashes} staged",
            f"1 MM N... {hashes} both ways",
            f"1 .D N... {hashes} gone",
            f"1 .A N... {hashes} meant",
            f"u UU N... 100644 {hashes} {ID} fought over",
            "? branch.oid\nx",
            "? nested/",
            "",
        ]
    )
    assert read_status(raw) == Status(
        commit=ID,
        branch="main",
        staged=3,
        updated=("both ways", "meant", "fought over"),
        deleted=("gone",),
        untracked=("branch.oid\nx",),
        nested=("nested/",),
    )
    assert read_status("# branch.oid (initial)\0# branch.head (detached)\0") == Status()


def test_a_commit_depends_on_its_content_alone(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "objects").mkdir(parents=True)
        (tmp_path / name / "refs" / "evq").mkdir(parents=True)
    first = write_commit(tmp_path / "one", ID, None)
    assert first == write_commit(tmp_path / "two", ID, None)
    assert first != write_commit(tmp_path / "two", ID, first)
    assert commit_text(ID, None).startswith(f"tree {ID}\nauthor ".encode())


def test_names_that_are_not_utf8_can_be_shown():
    assert shown("latin-\udce9") == "latin-?"


@pytest.mark.parametrize("text", ["", "HEAD", "--upload-pack=x", ID[:-1], ID + "0", ID.upper()])
def test_what_is_no_object_id(text):
    assert not is_object_id(text)


@pytest.mark.parametrize(
    "header",
    [
        f"# v2 git bundle\n{ID} refs/evq/x\n",
        "# v2 git bundle\n\n",
        f"# v4 git bundle\n{ID} refs/evq/x\n\n",
        f"# v2 git bundle\n{ID} a\n{ID} b\n\n",
        "# v2 git bundle\n--upload-pack=x refs/evq/x\n\n",
        f"# v2 git bundle\n--exec=x\n{ID} refs/evq/x\n\n",
        f"# v3 git bundle\n@filter=blob:none\n{ID} refs/evq/x\n\n",
    ],
)
def test_bundles_that_are_not_ours(tmp_path, header):
    (tmp_path / "bundle").write_text(header)
    with pytest.raises(CodeFailed):
        read_header(tmp_path / "bundle")


def test_the_header_of_a_bundle(tmp_path):
    other = ID.replace("4", "5")
    (tmp_path / "bundle").write_bytes(
        f"# v2 git bundle\n-{other} evq\n{ID} refs/evq/x\n\n".encode() + b"PACK\xff"
    )
    header = read_header(tmp_path / "bundle")
    assert (header.tip, header.needs) == (ID, (other,))
