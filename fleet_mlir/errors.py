"""Errors that the user of Fleet can act on."""


class FleetError(Exception):
    """A failure that is the user's to mend: one sentence, lower case, without a full stop."""
