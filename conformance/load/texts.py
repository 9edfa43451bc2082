"""Several main hosts at once, each with a text of its own: every text has to be the one that it makes alone.

Rules
- Each client is a process with a prompt of its own; every other one is stock llama.cpp, the rest refimpl-cli. First
  each makes its text alone, with all layers on the testee; then all together, over and over, until the time is up.
- A round that has begun when the time is up is finished. Texts are greedy, so they are the same whoever else computes.
- It takes a testee that serves as many clients at once as there are.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs
import trio

from conformance.interop import current, stock
from conformance.interop.current import NotRun, current_llama, current_text
from conformance.interop.matrix.peers import CONTEXT
from conformance.interop.model import smollm2
from conformance.interop.processes import ProcessFailed, our_program, run_text
from conformance.interop.stock import stock_programs
from conformance.judge.testee import NotReached
from conformance.load.client import is_served
from conformance.load.report import Findings
from conformance.load.testees import ONE_CLIENT, Loaded

__all__ = ["PROMPTS", "Author", "Plan", "Rounds", "Writer", "main_host", "texts"]

PROMPTS = (
    "Hello, my name is",
    "The three primary colours are",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n",
    "The capital of France is",
    "To bake a good loaf of bread, you need",
    "In the year 1969, three men",
    "A prime number is a number that",
)
ALL_LAYERS = "99"
CURRENT = "current llama.cpp"
PATIENCE = 1800.0
"""seconds for one text: many share few cores"""
SHOWN = 60

Writer = Callable[[str, Path], Awaitable[str]]
"""prompt and log > text"""


@attrs.frozen(kw_only=True)
class Plan:
    """clients: at most one for each prompt; tokens: of each text."""

    minutes: float = 5.0
    clients: int = len(PROMPTS)
    tokens: int = 96
    model: Path | None = None


@attrs.frozen
class Author:
    """One client. `name` is its program."""

    number: int
    name: str
    prompt: str
    write: Writer
    tokens: int
    """of its texts"""


@attrs.define
class Rounds:
    """What is going on, and what has been made."""

    loaded: Loaded
    plan: Plan
    findings: Findings
    folder: Path
    """for what the clients say besides their texts"""
    authors: list[Author]
    alone: dict[int, str] = attrs.field(factory=dict)
    made: Counter[str] = attrs.field(factory=Counter)
    tokens: int = 0
    rounds: int = 0

    async def one_by_one(self) -> None:
        """The texts that all others are held against. Raises ProcessFailed."""
        begin = trio.current_time()
        for author in self.authors:
            text = await author.write(author.prompt, self.folder / f"alone-{author.number}.log")
            self.findings.tell(f"alone, {author.name}: {text[:SHOWN]!r} ...")
            self.alone[author.number] = text
        self.findings.figure(seconds_alone=trio.current_time() - begin)
        if len(set(self.alone.values())) < len(self.authors):
            self.findings.fault("two clients make the same text: one that got another's would not show")

    async def together(self) -> None:
        """Rounds of all texts at once, until the time is up."""
        begin = trio.current_time()
        while trio.current_time() - begin < self.plan.minutes * 60 and self.loaded.testee.dead() is None:
            async with trio.open_nursery() as nursery:
                for author in self.authors:
                    nursery.start_soon(self._one, author)
            self.rounds += 1
            self.findings.tell(
                f"round {self.rounds}: {sum(self.made.values())} texts; {self.loaded.look() or 'unseen'}"
            )
        seconds, texts = trio.current_time() - begin, sum(self.made.values())
        self.findings.figure(rounds=self.rounds, seconds_together=seconds, texts_together=texts)
        self.findings.figure(**{f"of_{name}": count for name, count in sorted(self.made.items())})
        self.findings.figure(tokens_per_second_in_all=self.tokens / seconds)

    async def _one(self, author: Author) -> None:
        who = f"client {author.number} ({author.name}), round {self.rounds + 1}"
        try:
            text = await author.write(author.prompt, self.folder / f"together-{author.number}.log")
        except ProcessFailed as failure:
            self.findings.fault(f"{who}: {failure}")
            return
        if text != self.alone[author.number]:
            self.findings.fault(f"{who}: {text!r} instead of {self.alone[author.number]!r}")
        self.made[author.name] += 1
        self.tokens += author.tokens


async def texts(loaded: Loaded, plan: Plan, findings: Findings, folder: Path) -> None:
    """Run the load. Raises NotReached for a testee that is not suited, ProcessFailed when a client fails alone."""
    if not loaded.serves_two:
        raise NotReached(f"{ONE_CLIENT}: texts cannot be made over it at the same time")
    run = Rounds(loaded, plan, findings, folder, await _authors(loaded, plan, findings))
    findings.figure(clients=len(run.authors), tokens_of_a_text=plan.tokens)
    await run.one_by_one()
    await run.together()
    if ending := loaded.testee.dead():
        findings.fault(ending)
    elif wrong := await is_served(loaded.dial, loaded.codec, loaded.timeout):
        findings.fault(f"a fresh client: {wrong}")


async def _authors(loaded: Loaded, plan: Plan, findings: Findings) -> list[Author]:
    model = plan.model or await smollm2()
    writers = {"refimpl-cli": main_host(loaded, our_program("refimpl-cli"), model, plan.tokens)}
    version = loaded.codec.dialect.name
    if version == stock.PROTO:
        program = str(await stock_programs() / "llama-completion")
        writers["llama-completion"] = main_host(loaded, program, model, plan.tokens)
    elif version == current.PROTO:
        try:
            await current_llama()
            writers[CURRENT] = lambda prompt, log: current_text(model, prompt, log, [loaded.endpoint])
        except NotRun as obstacle:
            findings.note(f"stock's main host took no part: {obstacle}")
    names = list(writers)
    chosen = [(number, names[number % len(names)], prompt) for number, prompt in enumerate(PROMPTS[: plan.clients])]
    tokens = {CURRENT: current.TOKENS}
    return [
        Author(number, name, prompt, writers[name], tokens.get(name, plan.tokens)) for number, name, prompt in chosen
    ]


def main_host(loaded: Loaded, program: str, model: Path, tokens: int, patience: float = PATIENCE) -> Writer:
    """A program that takes llama.cpp's flags, with all layers on the testee."""
    flags = ["-m", str(model), "-no-cnv", "--temp", "0", "-n", str(tokens), "-c", str(CONTEXT), "-t", "1"]
    placed = ["--rpc", loaded.endpoint, "-ngl", ALL_LAYERS]

    async def write(prompt: str, log: Path) -> str:
        return await run_text([program, *flags, *placed, "-p", prompt], log, patience)

    return write
