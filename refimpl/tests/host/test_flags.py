"""Command lines: llama.cpp's spellings, values that look like flags, and one line for what cannot be used."""

from pathlib import Path

import pytest

from refimpl.errors import UsageError
from refimpl.host.command.flags import FLAGS, parse
from refimpl.host.command.options import FlashAttention, Layers, Options, Override
from refimpl.host.command.values import CACHE_TYPES
from refimpl.model.gguf.storage import LoadMode
from refimpl.model.sampler import SamplerParams
from refimpl.service.channel import Patience
from spec.names import Type

M = ["-m", "model.gguf"]


def test_defaults_are_those_of_llama_completion() -> None:
    options = parse(M)
    assert options == Options(model="model.gguf")
    assert (options.predict, options.ctx_size, options.batch, options.ubatch) == (-1, 0, 2048, 512)
    assert options.sampling == SamplerParams(
        temp=0.8, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.0, repeat_last_n=64
    )
    assert (options.seed, options.flash, options.gpu_layers) == (-1, FlashAttention.AUTO, Layers.AUTO)
    assert (options.cache_type_k, options.cache_type_v, options.load_mode) == (Type.F16, Type.F16, LoadMode.AUTO)
    assert options.patience == Patience(reply=10, computing=600)


def test_every_flag_at_once() -> None:
    words = (
        "-p hi -n 5 -c 512 -b 256 -ub 128 -t 3 -ngl 15 -ts 3,1 --rpc a:1,[::1]:2 -dev RPC1,RPC0 --temp 0.5 --top-k 7 "
        "--top-p 0.9 --min-p 0.1 --repeat-penalty 1.1 --repeat-last-n 32 -s 42 -fa off --ignore-eos -v -no-cnv "
        "-lm dio -ctk q8_0 -ctv bf16 -ot attn_q=CPU --rpc-timeout 3,40 --dry-run -ot ffn=RPC0,norm=RPC1 --proto 7.0.0"
    )
    assert parse([*M, *words.split()]) == Options(
        model="model.gguf",
        prompt="hi",
        predict=5,
        ctx_size=512,
        batch=256,
        ubatch=128,
        threads=3,
        gpu_layers=15,
        tensor_split=(3.0, 1.0),
        rpc=("a:1", "[::1]:2"),
        devices=("RPC1", "RPC0"),
        flash=FlashAttention.OFF,
        sampling=SamplerParams(temp=0.5, top_k=7, top_p=0.9, min_p=0.1, repeat_penalty=1.1, repeat_last_n=32),
        seed=42,
        ignore_eos=True,
        verbose=True,
        load_mode=LoadMode.DIRECT,
        cache_type_k=Type.Q8_0,
        cache_type_v=Type.BF16,
        overrides=(Override("attn_q", "CPU"), Override("ffn", "RPC0"), Override("norm", "RPC1")),
        patience=Patience(3, 40),
        dry_run=True,
        proto="7.0.0",
    )


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.names[0])
def test_all_spellings_of_a_flag_mean_the_same(flag: object, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt"
    prompt.write_text("from a file")
    values = {"-f": str(prompt), "-dev": "none", "-fa": "on", "--rpc": "a:1", "--proto": "7.0.0", "-ot": "norm=CPU"}
    values |= {"-lm": "none", "-ctk": "q4_0", "-ctv": "f32"}
    names = flag.names  # type: ignore[attr-defined]
    value = [values.get(names[0], "1")] if flag.value else []  # type: ignore[attr-defined]
    base = [*M, *(["--rpc", "a:1"] if names[0] == "-ts" else [])]
    assert len({parse([*base, name, *value]) for name in names}) == 1


def test_a_value_may_look_like_a_flag() -> None:
    assert parse([*M, "-p", "-n"]).prompt == "-n"
    assert parse([*M, "-p", "--prompt=x"]).prompt == "--prompt=x"
    assert parse([*M, "-s", "-1", "-n", "-2"]).predict == -2


def test_the_last_of_a_repeated_flag_counts() -> None:
    assert parse([*M, "-n", "1", "--predict", "2"]).predict == 2


def test_escapes_of_the_prompt_are_read_unless_told_otherwise() -> None:
    prompt = r"a\n\t\x41\q\\"
    assert parse([*M, "-p", prompt]).prompt == "a\n\tA\\q\\"
    assert parse([*M, "-p", prompt, "--no-escape"]).prompt == prompt


def test_a_prompt_file_loses_one_line_end_and_has_its_escapes_read(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(rb"Hello,\n my name is" + b"\n\n")
    assert parse([*M, "-f", str(file)]).prompt == "Hello,\n my name is\n"


LAYER_COUNTS = [
    ("auto", Layers.AUTO),
    ("-1", Layers.AUTO),
    ("all", Layers.ALL),
    ("-2", Layers.ALL),
    ("0", 0),
    ("99", 99),
]


@pytest.mark.parametrize(("text", "layers"), LAYER_COUNTS)
def test_layer_counts(text: str, layers: int | Layers) -> None:
    assert parse([*M, "-ngl", text]).gpu_layers == layers


def test_one_timeout_is_that_of_replies_and_never_above_that_of_graphs() -> None:
    assert parse([*M, "--rpc-timeout", "2.5"]).patience == Patience(2.5, 600)
    assert parse([*M, "--rpc-timeout", "900"]).patience == Patience(900, 900)


def test_no_mmap_is_a_load_mode() -> None:
    assert parse([*M, "--no-mmap"]) == parse([*M, "-lm", "none"])


@pytest.mark.parametrize("name", CACHE_TYPES)
def test_cache_types_have_the_names_of_llama_cpp(name: str) -> None:
    options = parse([*M, "-ctk", name, "-ctv", name])
    assert options.cache_type_k.name.lower() == options.cache_type_v.name.lower() == name


def test_devices_may_be_none() -> None:
    assert parse([*M, "-dev", "none"]).devices == ()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("-m m --bogus", "--bogus is not a flag"),
        ("-m m --promt x", "did you mean --prompt"),
        ("-m m -n20", "-n20 is not a flag"),
        ("-m m --ctx-size=512", "--ctx-size=512 is not a flag"),
        ("-m m -n", "-n needs a value: -n N"),
        ("-m m -n ten", "-n.*'ten' is not a whole number"),
        ("-m m -n -3", "-n.*-3 is below -2"),
        ("-m m -b 0", "-b.*0 is below 1"),
        ("-m m --temp warm", "--temp.*'warm' is not a number"),
        ("-m m --repeat-penalty 0", "--repeat-penalty.*'0' is not a finite number above 0"),
        ("-m m --repeat-penalty inf", "--repeat-penalty.*'inf' is not a finite"),
        ("-m m --top-p nan", "--top-p.*'nan' is not a number"),
        ("-m m -ngl some", "-ngl.*'some' is neither"),
        ("-m m --rpc a:1 -ts 1,x", "-ts.*'x' is not a number"),
        ("-m m --rpc a:1 -ts 1,-1", "-ts.*negative"),
        ("-m m -ctk iq4_nl", "-ctk.*'iq4_nl' is none of f32, f16,"),
        ("-m m -ctv q8_0 -fa off", "-ctv q8_0 needs flash attention"),
        ("-m m -lm fast", "-lm.*'fast' is none of auto,"),
        ("-m m -ot ffn", "-ot.*'ffn' is no PATTERN=DEVICE"),
        ("-m m -ot a(=CPU", "-ot.*'a\\(' is no regular expression"),
        ("-m m --rpc-timeout 0", "--rpc-timeout.*above 0"),
        ("-m m --rpc-timeout 1,2,3", "--rpc-timeout.*one or two numbers"),
        ("-m m -fa maybe", "-fa.*none of on, off, auto"),
        ("-m m --rpc a:0", "--rpc.*host:port"),
        ("-m m --rpc a:1,a:1", "--rpc names a node twice"),
        ("-m m --rpc a:1 -dev RPC0,RPC0", "-dev.*twice"),
        ("-m m -dev RPC0", "-dev RPC0 .*--rpc"),
        ("-m m -ts 1,1", "-ts .*--rpc"),
        ("-m m -f /no/such/file", "-f.*'/no/such/file'.*No such file"),
        ("-p hi", "-m FNAME is required"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(words: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        parse(words.split())
    assert "\n" not in str(caught.value)


def test_devices_are_listed_without_a_model() -> None:
    assert parse(["--list-devices", "--rpc", "a:1"]).list_devices


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(["-h"])
    shown = capsys.readouterr().out
    assert left.value.code == 0
    assert not [name for flag in FLAGS for name in flag.names if name not in shown]
