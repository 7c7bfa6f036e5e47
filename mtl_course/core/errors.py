"""The one kind of error that speaks to the user."""

__all__ = ["UserError"]


class UserError(Exception):
    """A mistake in the input that the user can mend: one sentence naming what, what was expected,
    and what to do.
    """
