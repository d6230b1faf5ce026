"""Reads in moments that are past, beside those who read in the present."""

from __future__ import annotations

from ...core.past import Moment
from ..store import Answer, Failed, Question, Tables
from .connection import Past


class PastReader:
    """As `store.Reader`, for any moment. There is one, so that a question finds what was folded for
    the one before."""

    def __init__(self, tables: Tables) -> None:
        """`tables` is a connection that nobody else uses."""
        self._tables = tables
        self._past: Past | None = None

    def ask(self, question: Question, moment: Moment) -> tuple[int, Answer]:
        """The sequence of the moment, and the answer to a question as it was then.

        Raises `Interrupted`, one of `Unfit`, or what the question raises.
        """
        if self._past is None:
            self._past = Past(self._tables.beside())
        try:
            with self._past.at(moment) as tables:
                return moment.seq, question(tables.answer)
        except Failed:
            self._leave()
            raise

    def interrupt(self) -> None:
        """End what is being read, if something is."""
        if past := self._past:
            past.interrupt()

    def close(self) -> None:
        """Let go of the file."""
        self._leave()
        self._tables.close()

    def _leave(self) -> None:
        past, self._past = self._past, None
        if past:
            past.close()
