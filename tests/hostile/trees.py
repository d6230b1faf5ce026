"""Commits made to harm: each builder writes one into a repository and returns its tree.

`Ground` says where: if the file `marker` appears, something was executed; if anything appears in
`outside`, something was written where it must not be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from githost import git

Entry = tuple[str, str, str]


@dataclass(frozen=True)
class Ground:
    """A bare repository to build in, and the two places that tell of harm."""

    repository: Path
    marker: Path
    outside: Path

    @property
    def script(self) -> str:
        """A program that leaves the marker."""
        return f"#!/bin/sh\ntouch {self.marker}\n"

    def blob(self, text: str) -> str:
        """A file's content in the repository."""
        return git(self.repository, "hash-object", "-w", "--stdin", stdin=text.encode())

    def tree(self, *entries: Entry) -> str:
        """A tree of (mode, name, id), such as no `git add` would make."""
        raw = b"".join(
            f"{mode} {name}\0".encode() + bytes.fromhex(oid) for mode, name, oid in entries
        )
        how = ("hash-object", "-t", "tree", "--literally", "-w", "--stdin")
        return git(self.repository, *how, stdin=raw)

    def commit(self, tree: str) -> str:
        """A commit of `tree`."""
        return git(self.repository, "commit-tree", "-m", "x", tree)


@dataclass(frozen=True)
class Case:
    """A builder, and whether what it builds must be refused; else it must only do no harm."""

    name: str
    build: Callable[[Ground], str]
    refused: bool
    needs_lfs: bool = False


CASES: list[Case] = []


def case(
    name: str, *, refused: bool = False, needs_lfs: bool = False
) -> Callable[[Callable[[Ground], str]], Callable[[Ground], str]]:
    def remember(build: Callable[[Ground], str]) -> Callable[[Ground], str]:
        CASES.append(Case(name, build, refused, needs_lfs))
        return build

    return remember


# --- names that lead to git's own folder, or out of the tree --------------------------------------

NAMES = {
    "git-folder": ".git",
    "git-folder-in-capitals": ".GIT",
    "git-folder-short-name": "git~1",
    "git-folder-with-ignored-letter": ".g\u200cit",
    "git-folder-with-dot": ".git.",
    "git-folder-with-space": ".git ",
    "git-folder-as-stream": ".git::$INDEX_ALLOCATION",
    "folder-above": "..",
    "folder-itself": ".",
    "name-with-slash": "../outside",
    "absolute-name": "/outside",
}


def _named(name: str) -> Callable[[Ground], str]:
    def build(ground: Ground) -> str:
        hook = ground.blob(ground.script)
        hooks = ground.tree(("100755", "post-checkout", hook), ("100755", "pre-commit", hook))
        return ground.tree(("40000", name, ground.tree(("40000", "hooks", hooks))))

    return build


for _word, _name in NAMES.items():
    case(f"path-{_word}", refused=True)(_named(_name))

case("path-name-with-backslash")(_named("a\\..\\..\\outside"))


@case("file-named-git", refused=True)
def _git_file(ground: Ground) -> str:
    return ground.tree(("100644", ".git", ground.blob(f"gitdir: {ground.outside}\n")))


@case("link-then-file-below")
def _link_then_file(ground: Ground) -> str:
    inner = ground.tree(("100644", "file", ground.blob("harm\n")))
    link = ground.blob(str(ground.outside))
    return ground.tree(("120000", "a", link), ("40000", "a", inner))


@case("link-to-git-hooks-then-file-below")
def _link_to_hooks(ground: Ground) -> str:
    inner = ground.tree(("100755", "post-checkout", ground.blob(ground.script)))
    return ground.tree(("120000", "h", ground.blob(".git/hooks")), ("40000", "h", inner))


@case("link-and-file-of-another-case")
def _link_of_another_case(ground: Ground) -> str:
    inner = ground.tree(("100644", "file", ground.blob("harm\n")))
    link = ground.blob(str(ground.outside))
    return ground.tree(("120000", "A", link), ("40000", "a", inner))


# --- attributes, filters, configuration -----------------------------------------------------------


@case("attributes-with-filters")
def _filters(ground: Ground) -> str:
    rules = "* filter=harm diff=harm merge=harm export-subst working-tree-encoding=UTF-16\n"
    settings = f'[filter "harm"]\n\tsmudge = touch {ground.marker}\n\tprocess = touch x\n'
    return ground.tree(
        ("100644", ".gitattributes", ground.blob(rules)),
        ("100644", ".gitconfig", ground.blob(settings)),
        ("100644", "config", ground.blob(settings)),
        ("100644", "file", ground.blob("x\n")),
    )


@case("attributes-as-link")
def _attributes_link(ground: Ground) -> str:
    return ground.tree(
        ("120000", ".gitattributes", ground.blob("/etc/passwd")),
        ("100644", "file", ground.blob("x\n")),
    )


@case("a-bare-repository-in-the-tree")
def _bare(ground: Ground) -> str:
    settings = f'[core]\n\tfsmonitor = "touch {ground.marker}"\n\tworktree = ..\n'
    head = ground.blob("ref: refs/heads/main\n")
    keep = ground.tree(("100644", "keep", ground.blob("")))
    hooks = ground.tree(("100755", "post-checkout", ground.blob(ground.script)))
    return ground.tree(
        ("100644", "HEAD", head),
        ("100644", "config", ground.blob(settings)),
        ("40000", "hooks", hooks),
        ("40000", "objects", keep),
        ("40000", "refs", keep),
    )


# --- submodules -----------------------------------------------------------------------------------


def _submodule(
    ground: Ground, address: str, *, path: str = "sub", name: str = "sub", more: str = ""
) -> str:
    settings = f'[submodule "{name}"]\n\tpath = {path}\n\turl = {address}\n{more}'
    inner = ground.commit(ground.tree(("100755", "post-checkout", ground.blob(ground.script))))
    return ground.tree(("100644", ".gitmodules", ground.blob(settings)), ("160000", "sub", inner))


ADDRESSES = {
    "program": 'ext::sh -c "touch {marker}"',
    "descriptor": "fd::17",
    "file-url": "file://{repository}",
    "folder": "{repository}",
    "option": "--upload-pack=touch {marker}",
    "ssh-option": "ssh://-oProxyCommand=touch${{IFS}}{marker}/x",
    "ssh-option-as-user": "ssh://-oProxyCommand=touch@host/x",
    "ssh-option-in-short-form": "-oProxyCommand=touch:x",
    "ssh-option-in-path": "git@host:-oProxyCommand=touch",
    "above-the-host": "../../../../../../etc",
    "above-the-host-in-the-middle": "./a/../../../../../x",
    "helper": "transport::address",
    "shell": "https://host/$(touch {marker})",
    "line-break": '"https://host/x\\n[core]\\nfsmonitor=touch {marker}"',
    "password": "https://user:secret@host/x",
}


def _addressed(address: str) -> Callable[[Ground], str]:
    def build(ground: Ground) -> str:
        known = {"marker": ground.marker, "repository": ground.repository}
        return _submodule(ground, address.format(**known))

    return build


for _word, _address in ADDRESSES.items():
    case(f"submodule-address-{_word}", refused=True)(_addressed(_address))


@case("submodule-with-a-command-to-update")
def _update(ground: Ground) -> str:
    more = f"\tupdate = !touch {ground.marker}\n\tignore = none\n\tfetchRecurseSubmodules = true\n"
    return _submodule(ground, "./inner.git", more=more)


@case("submodule-named-to-leave-its-folder")
def _submodule_name(ground: Ground) -> str:
    return _submodule(ground, "./inner.git", name="../../.git/hooks")


@case("submodule-path-elsewhere")
def _submodule_path(ground: Ground) -> str:
    return _submodule(ground, "./inner.git", path="../outside")


@case("submodule-path-with-return")
def _submodule_return(ground: Ground) -> str:
    settings = '[submodule "s"]\n\tpath = "sub\r"\n\turl = ./inner.git\n'
    inner = ground.commit(ground.tree())
    return ground.tree(
        ("100644", ".gitmodules", ground.blob(settings)),
        ("160000", "sub\r", inner),
        ("120000", "sub", ground.blob(".git/hooks")),
    )


@case("submodule-behind-a-link")
def _submodule_link(ground: Ground) -> str:
    settings = '[submodule "s"]\n\tpath = a/sub\n\turl = ./inner.git\n'
    inner = ground.commit(ground.tree())
    return ground.tree(
        ("100644", ".gitmodules", ground.blob(settings)),
        ("120000", "a", ground.blob(str(ground.outside))),
        ("40000", "a", ground.tree(("160000", "sub", inner))),
    )


@case("submodule-list-as-link")
def _modules_link(ground: Ground) -> str:
    target = ground.outside.parent / "elsewhere"
    target.write_text(f'[submodule "s"]\n\tpath = sub\n\turl = ext::touch {ground.marker}\n')
    inner = ground.commit(ground.tree())
    return ground.tree(
        ("120000", ".gitmodules", ground.blob(str(target))), ("160000", "sub", inner)
    )


@case("submodule-list-that-includes")
def _modules_include(ground: Ground) -> str:
    settings = f"[include]\n\tpath = {ground.outside.parent}/elsewhere\n"
    return ground.tree(
        ("100644", ".gitmodules", ground.blob(settings)),
        ("160000", "sub", ground.commit(ground.tree())),
    )


@case("submodule-of-itself-without-end")
def _endless(ground: Ground) -> str:
    settings = ground.blob('[submodule "s"]\n\tpath = s\n\turl = ./\n')
    commit = ground.commit(ground.tree(("100644", ".gitmodules", settings)))
    for _ in range(12):
        tree = ground.tree(("100644", ".gitmodules", settings), ("160000", "s", commit))
        commit = ground.commit(tree)
    return tree


# --- LFS ------------------------------------------------------------------------------------------


def _lfs(settings: str) -> Callable[[Ground], str]:
    def build(ground: Ground) -> str:
        text = settings.format(marker=ground.marker, outside=ground.outside)
        fake = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
        return ground.tree(
            ("100644", ".gitattributes", ground.blob("*.bin filter=lfs\n")),
            ("100644", ".lfsconfig", ground.blob(text)),
            ("100644", "w.bin", ground.blob(fake)),
        )

    return build


for _word, _settings in {
    "of-a-program": '[lfs]\n\turl = "ext::sh -c touch"\n',
    "of-files": "[lfs]\n\turl = file:///etc\n",
    "with-an-option": "[lfs]\n\turl = ssh://-oProxyCommand=touch/x\n",
    "with-a-transfer-program": (
        "[lfs]\n\tstandalonetransferagent = x\n\tstorage = {outside}\n"
        '[lfs "customtransfer.x"]\n\tpath = touch\n\targs = {marker}\n'
    ),
}.items():
    case(f"lfs-{_word}", refused=True, needs_lfs=True)(_lfs(_settings))


# --- too much -------------------------------------------------------------------------------------


@case("ten-thousand-million-files", refused=True)
def _many(ground: Ground) -> str:
    tree = ground.tree(*(("100644", f"f{n}", ground.blob("x")) for n in range(10)))
    for _ in range(9):
        tree = ground.tree(*(("40000", f"d{n}", tree) for n in range(10)))
    return tree


@case("a-file-of-hundred-megabytes-a-hundred-times", refused=True)
def _large(ground: Ground) -> str:
    blob = ground.blob("\0" * 100_000_000)
    return ground.tree(*(("100644", f"f{n:02}", blob) for n in range(100)))
