"""Every command's handler."""

from collections.abc import Mapping

from conformance.fuzz.model import commands, graphs
from conformance.fuzz.model.session import Handler

__all__ = ["HANDLERS"]

HANDLERS: Mapping[str, Handler] = {**commands.HANDLERS, **graphs.HANDLERS}
"""by command name"""
