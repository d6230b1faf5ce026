"""Progress bars in a log: the states of one bar are one line that moves.

The agent stores a state of an overwritten line now and then (see agent/reporting/output.py), as a
line like any other. States of one bar follow on each other, and differ in what they count only.
"""

from __future__ import annotations

import re

from .ansi import bare

_PERCENT = re.compile(r"^(?P<before>[^%|\[]*?)\s*\d{1,3}(?:\.\d+)?%\s*[|\[(#=━▏▎▍▌▋▊▉█ ]")
_COUNT = re.compile(r"^(?P<before>[^|\[]*?)\s*\d+\s*/\s*\d+\s*[\[|(━]")
_ITERATIONS = re.compile(r"^(?P<before>[^|\[]*?)\s*\d+(?:it|\w{1,2}B)? \[[\d:]+, ")


def bar_of(text: str) -> str | None:
    """What a line says beside its progress, if it is the state of a progress bar."""
    last = bare(text.rpartition("\r")[2] if "\r" in text else text)
    for form in (_PERCENT, _COUNT, _ITERATIONS):
        if found := form.match(last):
            return found["before"].strip() + "|"
    return None


def last_state(text: str) -> str:
    """What is left of a line whose carriage returns were carried out."""
    body = text.rstrip("\r")
    return body.rpartition("\r")[2]
