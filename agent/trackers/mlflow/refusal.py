"""The one answer for what evq does not do, in the form in which MLflow's client shows it."""

from __future__ import annotations


class Refusal(Exception):
    """What a client asked is not done, and why.

    No `status` of it may be one that MLflow's client tries again for minutes (429 and 5xx), unless
    that is what is meant.
    """

    def __init__(
        self, message: str, code: str = "INVALID_PARAMETER_VALUE", *, status: int = 400
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.status = message, code, status
