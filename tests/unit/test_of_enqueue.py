"""What stands behind the `--` of a schedule or a trigger, as words of `evq enqueue`."""

from __future__ import annotations

from pathlib import Path

import pytest

from evq.cli.services.captured import of_enqueue


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["sh", "-c", "date"], ["--", "sh", "-c", "date"]),
        (["-q", "cpu", "--", "sh", "-c", "date"], ["-q", "cpu", "--", "sh", "-c", "date"]),
        (["train.py", "--", "--lr", "0.1"], ["train.py", "--", "--lr", "0.1"]),
        (["tran.py"], ["tran.py"]),
        ([], []),
    ],
)
def test_a_program_needs_no_second_separator(words: list[str], found: list[str]) -> None:
    assert list(of_enqueue(words)) == found


def test_a_file_of_that_name_is_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sh").touch()
    monkeypatch.chdir(tmp_path)
    assert list(of_enqueue(["sh"])) == ["sh"]
