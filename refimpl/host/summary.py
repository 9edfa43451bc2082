"""Times of one run, and the lines that llama.cpp closes with: same words, same order, same units. Pure.

`load` is from start to ready; `prompt` and `eval` are the graphs, local and remote; the total begins with the prompt
and includes sampling and writing.
"""

import attrs

__all__ = ["Times", "summary"]

PREFIX = "common_perf_print:"


@attrs.define(kw_only=True)
class Times:
    """Seconds and tokens of a run, filled in as it goes."""

    load: float = 0.0
    sampling: float = 0.0
    prompt: float = 0.0
    eval: float = 0.0
    total: float = 0.0
    prompt_tokens: int = 0
    eval_tokens: int = 0
    """tokens evaluated one by one after the prompt"""
    graphs_reused: int = 0
    """steps that ran the graph of the step before"""


def summary(times: Times) -> tuple[str, ...]:
    """The closing lines, without line ends."""
    tokens = times.prompt_tokens + times.eval_tokens
    rest = max(0.0, times.total - times.sampling - times.prompt - times.eval)
    share = 100 * rest / times.total if times.total else 0.0
    parts = (
        f"    sampling time = {_ms(times.sampling)}",
        f"        load time = {_ms(times.load)}",
        f" prompt eval time = {_ms(times.prompt)} / {times.prompt_tokens:5d} tokens"
        f" ({_rates(times.prompt, times.prompt_tokens)})",
        f"        eval time = {_ms(times.eval)} / {times.eval_tokens:5d} runs  "
        f" ({_rates(times.eval, times.eval_tokens)})",
        f"       total time = {_ms(times.total)} / {tokens:5d} tokens",
        f" unaccounted time = {_ms(rest)} / {share:5.1f} %      (total - sampling - prompt eval - eval) / (total)",
        f"    graphs reused = {times.graphs_reused:10d}",
    )
    return tuple(PREFIX + part for part in parts)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:10.2f} ms"


def _rates(seconds: float, count: int) -> str:
    each = seconds * 1e3 / count if count else 0.0
    rate = count / seconds if seconds else 0.0
    return f"{each:8.2f} ms per token, {rate:8.2f} tokens per second"
