"""Ways are compared with the one of stock that differs in one part: medians, and the spread of the rounds."""

from refimpl.bench.figures import DECODE, PREFILL, Server
from refimpl.bench.ways import WAYS, Driver, Sample, Way, compared

STOCK_LOCAL, OUR_LOCAL = Way(Driver.STOCK, None), Way(Driver.OURS, None)
STOCK_SERVER, OUR_SERVER = Way(Driver.STOCK, Server.STOCK), Way(Driver.STOCK, Server.OURS)


def samples(way: Way, figure: str, *values: float) -> list[Sample]:
    return [Sample(way, figure, number, value) for number, value in enumerate(values)]


def test_there_is_every_main_host_with_its_layers_anywhere() -> None:
    assert len(set(WAYS)) == 6
    assert {way.name for way in WAYS} >= {"stock local", "refimpl local", "stock host, refimpl server"}


def test_each_way_is_held_against_one_that_differs_in_one_part() -> None:
    for way in WAYS:
        if way.beside is None:
            assert way == STOCK_LOCAL
        else:
            assert (way.driver is way.beside.driver) != (way.server is way.beside.server)
            assert way.beside in WAYS


def test_a_ratio_is_of_medians_and_its_spread_of_rounds() -> None:
    taken = samples(STOCK_SERVER, DECODE, 100, 200, 50) + samples(OUR_SERVER, DECODE, 90, 100, 75)
    assert compared(taken).splitlines() == [
        "decode                      tokens/s             ratio              to",
        "stock host, stock server    100.0 (50.0..200.0)",
        "stock host, refimpl server  90.0 (75.0..100.0)   0.90 (0.50..1.50)  stock host, stock server",
    ]


def test_prefill_and_decode_have_a_table_each() -> None:
    taken = samples(STOCK_LOCAL, DECODE, 10) + samples(OUR_LOCAL, PREFILL, 20) + samples(OUR_LOCAL, DECODE, 20)
    prefill, decode = compared(taken).split("\n\n")
    assert prefill.startswith("prefill")
    assert "2.00 (2.00..2.00)  stock local" in decode


def test_a_line_names_unit_driver_and_place() -> None:
    assert Sample(OUR_SERVER, DECODE, 2, 1.23456).as_json() == {
        "driver": "stock",
        "layers": "refimpl server",
        "figure": "decode",
        "unit": "tokens/s",
        "round": 2,
        "value": 1.235,
    }
