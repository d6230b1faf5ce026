"""What the agent's own interpreter is linked to on this machine, by the word of its loader."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import sys
import sysconfig

import msgspec

from ...core.errors import ContainerFailed

SHARED_PREFIXES = ("/usr", "/usr/local")
"""Prefixes of an interpreter that an image has, too: they cannot be mounted over its own."""

C_LIBRARY = frozenset(
    {"libc.so.6", "libm.so.6", "libmvec.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1"}
    | {"libutil.so.1", "libresolv.so.2", "libanl.so.1", "libcrypt.so.1", "libgcc_s.so.1"}
    | {"libnss_files.so.2", "libnss_dns.so.2", "libnss_compat.so.2", "libstdc++.so.6"}
)
"""The C library's parts and what is built along with it. Packages may load any of them later, and
one of another release than the rest fails."""

_LISTED = re.compile(r"^\s+(?:(?P<name>\S+) => )?(?P<path>/.*) \(0x[0-9a-f]+\)$", re.MULTILINE)


class Linked(msgspec.Struct, frozen=True):
    """An interpreter on this machine. `libraries` are the files by the names under which they are
    asked for, those of its extension modules included."""

    prefix: str
    program: str
    standard_library: str
    loader: str
    libraries: dict[str, str]

    @property
    def stands_alone(self) -> bool:
        """Whether it runs wherever the C library does."""
        return self.prefix not in SHARED_PREFIXES and not any(
            name not in C_LIBRARY and not path.startswith(self.prefix + os.sep)
            for name, path in self.libraries.items()
        )


def own_interpreter() -> Linked:
    """The one that runs this agent. Raises `ContainerFailed` where it is of an unknown kind."""
    program = os.path.realpath(sys.executable)
    standard_library = os.path.realpath(sysconfig.get_path("stdlib"))
    modules = extension_modules(standard_library)
    loader, libraries = _listed(program, modules)
    if not loader:
        raise ContainerFailed(
            "this agent cannot run containers",
            why=f"its Python, {sys.executable}, has no dynamic loader that could be mounted",
            fix="run the agent with a Python of this machine's own C library",
        )
    prefix = os.path.realpath(sys.base_prefix)
    return Linked(prefix, program, standard_library, loader, libraries)


def extension_modules(standard_library: str) -> list[str]:
    """The files of those in C, without the one for screens: it draws in half a desktop."""
    found = glob.glob(f"{glob.escape(standard_library)}/lib-dynload/*.so")
    return [file for file in found if not os.path.basename(file).startswith("_tkinter.")]


def _listed(program: str, modules: list[str]) -> tuple[str, dict[str, str]]:
    """The loader of a program, and all libraries that it and the modules would load."""
    told = subprocess.run(
        # Only a loader that does not know the first variable runs what is said here.
        [program, "-I", "-S", "-c", ""],
        env={
            **os.environ,
            "LD_TRACE_LOADED_OBJECTS": "1",
            "LD_PRELOAD": ":".join([*C_LIBRARY, *modules]),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # about those of the C library that this one does not have
        text=True,
        check=False,
    )
    found = list(_LISTED.finditer(told.stdout))
    plain = [one["path"] for one in found if not one["name"]]
    loader = next((path for path in plain if path not in modules), "")
    libraries = {os.path.basename(one["name"]): one["path"] for one in found if one["name"]}
    return os.path.realpath(loader) if loader else "", {
        name: os.path.realpath(path) for name, path in sorted(libraries.items())
    }
