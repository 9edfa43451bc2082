"""The table shows medians, ratios and whether what was asked for holds."""

from refimpl.bench.figures import Measured, Server, table


def lines(figure: str, stock: list[float], ours: list[float]) -> list[str]:
    measured = [Measured(figure, Server.STOCK, n, value) for n, value in enumerate(stock)]
    measured += [Measured(figure, Server.OURS, n, value) for n, value in enumerate(ours)]
    return table(measured).splitlines()[1:]


def test_a_ratio_of_medians_is_held_to_its_bound() -> None:
    (row,) = lines("decode", [100.0, 90.0, 300.0], [69.0, 71.0, 80.0])
    assert row.split()[2:5] == ["100.00", "71.00", "0.71"]
    assert row.endswith("yes")


def test_a_ratio_below_its_bound_is_shown() -> None:
    (row,) = lines("upload", [100.0], [79.0])
    assert row.endswith("NO")


def test_a_limit_holds_for_our_value_whatever_stock_s_is() -> None:
    (row,) = lines("start", [0.01], [1.9])
    assert row.endswith("yes")


def test_a_figure_that_only_one_server_has_is_left_out() -> None:
    assert lines("decode", [100.0], []) == []
