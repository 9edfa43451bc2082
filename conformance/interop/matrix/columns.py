"""The ways of continuing a prompt that must give one text: who is the main host, and which nodes hold the layers.

In every version of the protocol both main hosts speak to refimpl servers, to a stock one, and to one of each. Beside
that, main hosts run alone, and ours divides a model between a node and itself.
"""

from enum import Enum

import attrs

__all__ = ["COLUMNS", "CURRENT", "CURRENT_ALONE", "EARLIER", "PROMPTS", "REFERENCE", "TOKENS", "Column", "Who"]

PROMPTS = (
    "Hello, my name is",
    "def fibonacci(n):\n",
    "Once upon a time, in a small village by the sea,",
)
TOKENS = 48
ALL_LAYERS = 99
HALF_THE_LAYERS = 15
EARLIER, CURRENT = "7.0.0", "8.0.0"
"""versions of the protocol, and of stock's build that speaks it"""


class Who(Enum):
    """Whose program."""

    STOCK = "stock"
    OURS = "refimpl"


@attrs.frozen
class Column:
    """One way of running; without servers the main host has all layers."""

    version: str
    host: Who
    servers: tuple[Who, ...] = ()
    layers: int = ALL_LAYERS
    """of the model on the servers"""
    quick: bool = False
    """whether the short part runs it"""

    @property
    def main_host(self) -> str:
        """Who continues the text; a stock one by the version of its build."""
        return f"stock {self.version}" if self.host is Who.STOCK else "refimpl"

    @property
    def nodes(self) -> str:
        """Where the layers are, in words."""
        if not self.servers:
            return "none"
        if len(self.servers) == 1:
            words = f"{self.servers[0].value} server"
        elif len(set(self.servers)) == 1:
            words = f"two {self.servers[0].value} servers"
        else:
            words = f"{' and '.join(who.value for who in self.servers)} server"
        return words if self.layers == ALL_LAYERS else f"{words}, -ngl {self.layers}"

    @property
    def name(self) -> str:
        where = f"{self.nodes} ({self.version})" if self.servers else "local"
        return f"{self.main_host} host, {where}"

    @property
    def computes_currently(self) -> bool:
        """Whether layers run in a stock program that speaks the current version."""
        return self.version == CURRENT and Who.STOCK in (self.servers or (self.host,))

    @property
    def mixes_builds(self) -> bool:
        """Whether some layers run in current llama.cpp and some do not: no program alone computes like that."""
        return self.version == CURRENT and len(set(self.servers)) > 1

    @property
    def needs_stock(self) -> bool:
        """Whether a program of stock's takes part."""
        return Who.STOCK in (self.host, *self.servers)


REFERENCE = Column(EARLIER, Who.STOCK, quick=True)
"""the text that every other must give"""
CURRENT_ALONE = Column(CURRENT, Who.STOCK)
"""what current llama.cpp makes alone, in arithmetic of its own; its text is as good wherever it computes"""
TWO_OURS, ONE_STOCK, ONE_OF_EACH = (Who.OURS, Who.OURS), (Who.STOCK,), (Who.OURS, Who.STOCK)
COLUMNS = (
    REFERENCE,
    Column(EARLIER, Who.OURS, quick=True),
    CURRENT_ALONE,
    Column(EARLIER, Who.STOCK, TWO_OURS, quick=True),
    Column(EARLIER, Who.STOCK, ONE_STOCK),
    Column(EARLIER, Who.STOCK, ONE_OF_EACH),
    Column(EARLIER, Who.OURS, TWO_OURS),
    Column(EARLIER, Who.OURS, ONE_STOCK),
    Column(EARLIER, Who.OURS, ONE_OF_EACH, quick=True),
    Column(EARLIER, Who.OURS, (Who.OURS,), HALF_THE_LAYERS),
    Column(CURRENT, Who.STOCK, TWO_OURS),
    Column(CURRENT, Who.STOCK, ONE_STOCK),
    Column(CURRENT, Who.STOCK, ONE_OF_EACH),
    Column(CURRENT, Who.OURS, TWO_OURS),
    Column(CURRENT, Who.OURS, ONE_STOCK),
    Column(CURRENT, Who.OURS, ONE_OF_EACH),
    Column(CURRENT, Who.OURS, (Who.OURS,), HALF_THE_LAYERS),
)
