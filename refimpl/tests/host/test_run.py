"""Whole runs in one process: real sockets, real servers, the tiny model, every op by definition.

The recorded text is that of stock llama-completion (build 11434) for the same file, `-p "Hello, my name is" -n 32
--temp 0`, with flash attention. The weights are random and tokens lie closer together than arithmetic of another order
can tell, so only the CPU device, which rounds where stock rounds, is held to it; runs on the oracle are compared with
each other.
"""

import io
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from refimpl.device.cpu import CpuDevice
from refimpl.device.protocol import Allocation, Device
from refimpl.host.command.flags import parse
from refimpl.host.command.options import Options
from refimpl.host.outlet import Outlet
from refimpl.host.run import EXIT_FAILED, EXIT_NODE_LOST, OpenDevice, run
from refimpl.limits import Limits
from refimpl.model.gguf_file import open_model
from refimpl.service.server import Server
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.model.tiny import TINY_PATH, split_model
from refimpl.tests.oracle_device import OracleDevice
from refimpl.tests.service.harness import PATIENCE, Running, running
from refimpl.trace import CommandTaken, TraceEvent
from spec.load import load

PROMPT = "Hello, my name is"
STOCK_TEXT = b"Hello, my name is\x17+^\xf0\xf1\r=\x0e\xe3\xf1\r=\x0eW\n\n"
ENDED_TEXT = b"for\x81nv\x84\x8c [end of text]\n\n\n"
"""of `-p for`: the model ends it by itself"""
SOME = "12"
"""tokens where their number does not matter"""
BASE = ["-m", str(TINY_PATH), "-p", PROMPT, "-n", SOME, "-c", "256", "--temp", "0"]


@attrs.frozen
class Outcome:
    """What a run left behind."""

    code: int
    text: bytes
    notes: str

    @property
    def last_line(self) -> str:
        return self.notes.splitlines()[-1]


def oracle(threads: int) -> Device:
    return OracleDevice()


async def go(*words: str, base: Sequence[str] = BASE, local: OpenDevice = oracle) -> Outcome:
    """One run with more flags; `local` opens the local CPU."""
    options: Options = parse([*base, *words])
    text, notes = io.BytesIO(), io.StringIO()
    with trio.fail_after(6 * PATIENCE):
        code = await run(options, Outlet(text, notes), local)
    return Outcome(code, text.getvalue(), notes.getvalue())


@asynccontextmanager
async def nodes(count: int) -> AsyncIterator[list[Running]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running(OracleDevice())) for _ in range(count)]


def rpc(found: Sequence[Running]) -> tuple[str, str]:
    return "--rpc", ",".join(node.endpoint for node in found)


async def test_local_text_is_that_of_stock() -> None:
    outcome = await go("-n", "32", local=CpuDevice)
    assert (outcome.code, outcome.text) == (0, STOCK_TEXT)


async def test_local_text_ends_where_that_of_stock_ends() -> None:
    outcome = await go("-p", "for", "-n", "32", local=CpuDevice)
    assert outcome.text == ENDED_TEXT


@pytest.mark.parametrize("flash", ["on", "off"])
async def test_the_same_text_wherever_the_layers_are(flash: str) -> None:
    local = await go("-fa", flash)
    async with nodes(2) as found:
        whole = await go("-fa", flash, *rpc(found[:1]))
        two = await go("-fa", flash, *rpc(found))
        half = await go("-fa", flash, *rpc(found), "-ngl", "1")
    assert [run.text for run in (whole, two, half)] == [local.text] * 3
    assert "layers 0 to 0\n" in half.notes
    assert local.code == 0


async def test_a_prompt_in_pieces_gives_the_same_text() -> None:
    whole, pieces = await go(), await go("-ub", "5")
    assert pieces.text == whole.text


async def test_a_token_costs_each_device_one_round_trip_and_no_graph() -> None:
    async with nodes(2) as found:
        await go(*rpc(found), "-ts", "1,2")
        for node in found:
            commands = [event.command for event in node.trace.of(CommandTaken)]
            tail = commands[commands.index("GRAPH_COMPUTE") + 2 :]
            assert commands.count("GRAPH_COMPUTE") == 2
            assert tail[:3] == ["SET_TENSOR", "GRAPH_COMPUTE", "GET_TENSOR"]
            assert tail[3:] == ["SET_TENSOR", "GRAPH_RECOMPUTE", "GET_TENSOR"] * (int(SOME) - 2)


async def test_layers_go_where_ngl_and_ts_and_dev_say() -> None:
    async with nodes(2) as found:
        outcome = await go(*rpc(found), "-ngl", "1", "-ts", "1,1", "-dev", "RPC1,RPC0", "-n", "1")
    assert outcome.notes.splitlines()[:3] == [
        "CPU (bytes of a test): layers 0 to 0",
        f"RPC1 ({found[1].endpoint}): layers 1 to 1",
        f"RPC0 ({found[0].endpoint}): output",
    ]


async def test_no_layers_on_devices_leave_nothing_there() -> None:
    async with nodes(1) as found:
        outcome = await go(*rpc(found), "-ngl", "0", "-n", "2")
        commands = {event.command for event in found[0].trace.of(CommandTaken)}
    assert outcome.code == 0
    assert "ALLOC_BUFFER" not in commands


async def test_a_seed_gives_the_same_text_again() -> None:
    sampled = [*BASE[:-1], "1.5", "-s", "7", "--top-k", "0"]
    first, second, other = [await go(base=sampled), await go(base=sampled), await go("-s", "8", base=sampled)]
    assert first.text == second.text != other.text


async def test_a_text_fills_the_context_and_says_so() -> None:
    long = [*BASE[:3], "x" * 240, "--temp", "0", "-c", "256", "--ignore-eos"]
    outcome = await go(base=long)
    assert outcome.code == 0
    assert re.search(r"eval time =.* 14 runs", outcome.notes)
    assert "context full: 256 tokens" in outcome.notes


async def test_an_end_token_that_may_not_come_does_not() -> None:
    outcome = await go("-p", "for", "--ignore-eos")
    assert b"[end of text]" not in outcome.text
    assert re.search(rf"eval time =.* {int(SOME) - 1} runs", outcome.notes)


async def test_the_closing_lines_count_prompt_and_text() -> None:
    outcome = await go()
    assert re.search(r"prompt eval time = +[\d.]+ ms / +17 tokens", outcome.notes)
    assert re.search(r"   eval time = +[\d.]+ ms / +11 runs", outcome.notes)


async def test_upload_is_reported_in_bytes_per_second() -> None:
    async with nodes(1) as found:
        outcome = await go(*rpc(found), "-n", "1")
    assert re.search(r"uploading .*807\.9/807\.9 kB .*B/s", outcome.notes)


async def test_devices_are_listed_on_stdout() -> None:
    async with nodes(1) as found:
        outcome = await go("--list-devices", *rpc(found), base=[])
    assert outcome.text.decode() == f"Available devices:\n  RPC0: {found[0].endpoint} (256 MiB, 256 MiB free)\n"
    assert (outcome.code, outcome.notes) == (0, "")


@asynccontextmanager
async def doomed_node() -> AsyncIterator[str]:
    """The endpoint of a node that goes away as soon as it is told to run a graph again."""
    life = trio.CancelScope()

    def doom(event: TraceEvent) -> None:
        if isinstance(event, CommandTaken) and event.command == "GRAPH_RECOMPUTE":
            life.cancel()

    async def serve(task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
        with life:
            await server.serve(await trio.open_tcp_listeners(0, host="127.0.0.1"), task_status=task_status)

    server = Server([OracleDevice()], load().dialect(load().newest), Limits(), trace=doom, tell_commands=True)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(serve)
        yield f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"


async def test_a_node_lost_in_the_middle_leaves_the_text_and_names_node_and_command() -> None:
    async with doomed_node() as endpoint:
        outcome = await go("--rpc", endpoint, "-n", "-1", "--ignore-eos")
    assert outcome.code == EXIT_NODE_LOST
    assert outcome.text.startswith(PROMPT.encode())
    assert len(outcome.text) > len(PROMPT)
    assert re.fullmatch(rf"refimpl-cli: {endpoint}: .*(GRAPH_RECOMPUTE|GET_TENSOR).*", outcome.last_line)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--rpc", "127.0.0.1:1"], ["127.0.0.1:1", "-H"]),
        (["-m", "/no/such/file"], ["/no/such/file", "No such file"]),
        (["-m", __file__], [__file__, "not a GGUF"]),
        (["-p", ""], []),
        (["-p", "x" * 300], ["301 tokens, max 252", "-c"]),
    ],
)
async def test_what_cannot_be_used_ends_with_one_line(words: list[str], parts: list[str]) -> None:
    outcome = await go(*words)
    if words == ["-p", ""]:  # the model begins every text with a token of its own
        assert outcome.code == 0
        return
    assert outcome.code == EXIT_FAILED
    assert outcome.text == b""
    assert len(outcome.notes.splitlines()) == 1
    assert outcome.notes.startswith("refimpl-cli: ")
    assert [part for part in parts if part not in outcome.notes] == []


async def test_too_little_memory_is_found_before_anything_is_uploaded() -> None:
    async with running(FakeDevice(capacity=1 << 20)) as node:
        outcome = await go("--rpc", node.endpoint, "-ngl", "all")
        commands = [event.command for event in node.trace.of(CommandTaken)]
    assert outcome.code == EXIT_FAILED
    assert re.search(rf"RPC0 {node.endpoint}: \S+ MiB for .* asked, \S+ MiB free", outcome.last_line)
    assert "SET_TENSOR" not in commands


async def test_a_truncated_model_is_refused_by_name(tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(TINY_PATH.read_bytes()[:-1000])
    outcome = await go("-m", str(short))
    assert outcome.code == EXIT_FAILED
    assert re.search(r"short\.gguf: truncated: tensor '.*'", outcome.last_line)


async def test_a_model_in_parts_gives_the_same_text(tmp_path: Path) -> None:
    local = await go()
    first, second = split_model(TINY_PATH, tmp_path / "tiny.gguf")
    assert (await go("-m", str(first))).text == local.text
    second.unlink()
    missing = await go("-m", str(first))
    assert missing.code == EXIT_FAILED
    assert "tiny-00002-of-00002.gguf: is missing: part 2 of 2" in missing.last_line


@pytest.mark.parametrize("flash", ["on", "off"])
@pytest.mark.parametrize(
    "rules", [["ffn_up=CPU"], ["blk.0.ffn=RPC1", "attn_k=CPU"], ["attn_v=RPC1,attn_output=RPC1"], ["output=CPU"], ["."]]
)
async def test_the_same_text_wherever_single_weights_are(rules: list[str], flash: str) -> None:
    local = await go("-fa", flash, "-n", "4")
    overrides = [word for rule in rules for word in ("-ot", rule if "=" in rule else f"{rule}=RPC1")]
    async with nodes(2) as found:
        moved = await go("-fa", flash, "-n", "4", *rpc(found), "-ts", "1,0", *overrides)
        commands = [event.command for event in found[1].trace.of(CommandTaken)]
    assert (moved.code, moved.text) == (0, local.text)
    assert ("GRAPH_COMPUTE" in commands) == any("RPC1" in word for word in overrides)


async def test_a_rule_that_moves_nothing_is_refused_before_anything_is_loaded() -> None:
    async with nodes(1) as found:
        outcome = await go(*rpc(found), "-ot", "no_such_weight=CPU")
        assert "ALLOC_BUFFER" not in {event.command for event in found[0].trace.of(CommandTaken)}
    assert outcome.code == EXIT_FAILED
    assert "-ot no_such_weight=CPU: no weight has a name like this" in outcome.last_line


async def test_a_dry_run_tells_the_plan_and_touches_nothing() -> None:
    async with nodes(2) as found:
        outcome = await go(*rpc(found), "-ngl", "1", "-ts", "1,1", "-ot", "blk.0.ffn=RPC0", "--dry-run")
        commands = {event.command for node in found for event in node.trace.of(CommandTaken)}
    lines = outcome.text.decode().splitlines()
    assert outcome.code == 0
    assert commands.isdisjoint({"ALLOC_BUFFER", "SET_TENSOR", "GRAPH_COMPUTE"})
    facts = "layers 2; context 256 tokens; K and V f16 and f16; flash attention on; graphs per token 5"
    assert lines[0] == facts
    size = r"\d+\.\d MiB"
    sizes = rf"{size} weights \+ {size} KV cache \+ {size} computing = \d+\.\d of 256\.0 MiB free"
    assert re.fullmatch(rf"CPU \(bytes of a test\): layers 0 to 0: {sizes}", lines[1])
    assert re.fullmatch(rf"RPC0 \({found[0].endpoint}\): layers 1 to 1, 4 weights by -ot: {sizes}", lines[2])
    assert re.fullmatch(rf"RPC1 \({found[1].endpoint}\): output: {sizes}", lines[3])


class GaugedDevice(OracleDevice):
    """Knows the most memory that it ever gave."""

    peak = 0

    def allocate(self, size: int) -> Allocation:
        allocation = super().allocate(size)
        self.peak = max(self.peak, self.used)
        return allocation


async def test_a_dry_run_tells_what_the_run_takes() -> None:
    device = GaugedDevice()
    async with running(device) as node:
        preview = await go("--rpc", node.endpoint, "-ngl", "all", "--dry-run")
        await go("--rpc", node.endpoint, "-ngl", "all", "-n", "1")
    told = re.search(r"= (\d+\.\d) of", preview.text.decode())
    assert told is not None
    assert told[1] == f"{device.peak / (1 << 20):.1f}"


async def test_a_dry_run_of_what_does_not_fit_says_so_and_fails() -> None:
    async with running(FakeDevice(capacity=1 << 20)) as node:
        outcome = await go("--rpc", node.endpoint, "-ngl", "all", "--dry-run")
    assert outcome.code == EXIT_FAILED
    assert re.search(r"of 1\.0 MiB free, \d+\.\d MiB TOO MUCH", outcome.text.decode())
    assert "RPC0: not enough memory" in outcome.last_line


async def test_as_many_layers_go_to_a_device_as_it_has_room_for() -> None:
    local = await go()
    async with running(OracleDevice(capacity=5 << 19)) as node:
        outcome = await go("--rpc", node.endpoint)
    assert (outcome.code, outcome.text) == (0, local.text)
    assert f"RPC0 ({node.endpoint}): layers 1 to 1, output" in outcome.notes


async def test_a_cache_that_a_device_cannot_keep_is_refused_before_anything_is_loaded() -> None:
    async with running(FakeDevice()) as node:
        outcome = await go("--rpc", node.endpoint, "-ctk", "q8_0")
        commands = [event.command for event in node.trace.of(CommandTaken)]
    assert outcome.code == EXIT_FAILED
    assert re.match(rf"refimpl-cli: -ctk q8_0 -ctv f16: RPC0 \({node.endpoint}\) cannot compute", outcome.last_line)
    assert commands.count("ALLOC_BUFFER") == 1


@pytest.mark.parametrize(
    ("k", "v"), [("f32", "f32"), ("f32", "f16"), ("bf16", "bf16"), ("q8_0", "q8_0"), ("q4_0", "f16")]
)
async def test_a_cache_of_another_type_gives_the_same_text_wherever_it_is(k: str, v: str) -> None:
    types = ["-ctk", k, "-ctv", v, "-n", "4"]
    local = await go(*types)
    async with nodes(2) as found:
        apart = await go(*types, *rpc(found), "-ts", "1,1")
    assert (apart.code, apart.text) == (0, local.text)
    assert local.code == 0


async def test_the_context_of_the_model_is_taken_without_a_size_and_for_0() -> None:
    base = [*BASE[:4], "-n", "1", "--temp", "0"]
    default, zero = await go(base=base), await go("-c", "0", base=base)
    trained = open_model(TINY_PATH).hparams.n_ctx_train
    assert f"n_ctx = {trained}," in default.notes
    assert f"n_ctx = {trained}," in zero.notes


async def test_a_node_that_hangs_is_told_with_the_flag_that_waits_longer() -> None:
    device = OracleDevice()
    device.hold.clear()
    async with running(device) as node:
        outcome = await go("--rpc", node.endpoint, "--rpc-timeout", "10,0.05")
        device.hold.set()
    assert outcome.code == EXIT_NODE_LOST
    assert re.match(
        rf"refimpl-cli: {node.endpoint}: silent for 0.05 s during GET_TENSOR; .*GRAPH_COMPUTE", outcome.last_line
    )
    assert outcome.last_line.endswith("--rpc-timeout gives a slow node more time")
