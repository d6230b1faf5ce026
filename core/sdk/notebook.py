"""Runs a notebook inside of a task: `python -m evq_notebook train.ipynb`.

It stands alone, as `evq_notebook.py`, beside the task's `evq.py`. What it needs of Jupyter is
taken from the task's environment, and what that lacks from the folders in EVQ_NOTEBOOK_PATH,
which come last: the notebook sees its own packages first, in the versions that it asked for.

What cells write comes out at once; the notebook with its outputs is written beside the original
after every cell, as `train.out.ipynb`, so that of one that fails the part that ran is there too.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

PATH = "EVQ_NOTEBOOK_PATH"
KERNEL = "evq"

LONGEST_FOLDER = 48
"""Of the kernel's sockets: with the names in it, the path must fit into the 107 bytes of one."""


def output_of(path: Path) -> Path:
    """Where the notebook at `path` is written with its outputs."""
    return path.with_name(f"{path.stem}.out.ipynb")


def main() -> None:
    """Be the notebook's kernel, or run a notebook in one; ends with 1 if a cell fails."""
    sys.path.extend(filter(None, os.environ.get(PATH, "").split(os.pathsep)))
    if sys.argv[1] == "--kernel":
        from ipykernel.kernelapp import launch_new_instance

        launch_new_instance(argv=sys.argv[2:])
        return
    with tempfile.TemporaryDirectory(prefix="evq-notebook-") as folder:
        _describe_kernel(Path(folder))
        _run(Path(sys.argv[1]), "ipc" if len(folder) < LONGEST_FOLDER else "tcp")


def _describe_kernel(folder: Path) -> None:
    """Let Jupyter find one kernel: this Python, by this file."""
    spec = {
        "argv": [sys.executable, __file__, "--kernel", "-f", "{connection_file}"],
        "language": "python",
        "display_name": KERNEL,
    }
    (folder / "kernels" / KERNEL).mkdir(parents=True)
    (folder / "kernels" / KERNEL / "kernel.json").write_text(json.dumps(spec))
    os.environ["JUPYTER_PATH"] = os.environ["JUPYTER_RUNTIME_DIR"] = str(folder)
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"


def _run(path: Path, transport: str) -> None:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)
    inject(notebook, json.loads(os.environ.get("EVQ_PARAMS", "{}")), nbformat.v4.new_code_cell)

    class Client(NotebookClient):  # type: ignore[misc]
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] == "stream":
                stream = sys.stderr if msg["content"]["name"] == "stderr" else sys.stdout
                stream.write(msg["content"]["text"])
                stream.flush()
            return super().process_message(msg, cell, cell_index)

    def save(**_: Any) -> None:
        half = path.with_name(f".{path.stem}.half")
        nbformat.write(notebook, half)
        half.replace(output_of(path))

    place = {"metadata": {"path": str(path.parent.absolute())}}
    # Sockets in our own folder, where the machine's other users cannot reach the kernel.
    config = Config({"KernelManager": {"transport": transport}})
    client = Client(
        notebook, kernel_name=KERNEL, resources=place, config=config, on_cell_complete=save
    )
    try:
        client.execute()
    except CellExecutionError as failed:
        sys.stderr.write(f"{failed}\n")
        raise SystemExit(1) from None
    finally:
        save()


def inject(notebook: Any, params: dict[str, Any], new_cell: Any) -> None:
    """Put `params` into a cell of their own after the one with the tag `parameters`, if there is
    one: the convention of papermill."""
    tagged = [
        number
        for number, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", [])
    ]
    if not tagged or not params:
        return
    lines = [f"{name} = {value!r}" for name, value in params.items() if name.isidentifier()]
    cell = new_cell("\n".join(lines), metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(tagged[0] + 1, cell)


if __name__ == "__main__":
    main()
