"""The closing lines, as those who parse llama.cpp's read them."""

from refimpl.host.summary import Times, summary


def test_lines_have_llama_cpps_words_and_units() -> None:
    times = Times(
        load=0.34254,
        sampling=0.00323,
        prompt=0.02302,
        eval=0.16783,
        total=0.19613,
        prompt_tokens=5,
        eval_tokens=19,
        graphs_reused=18,
    )
    assert summary(times) == (
        "common_perf_print:    sampling time =       3.23 ms",
        "common_perf_print:        load time =     342.54 ms",
        "common_perf_print: prompt eval time =      23.02 ms /     5 tokens"
        " (    4.60 ms per token,   217.20 tokens per second)",
        "common_perf_print:        eval time =     167.83 ms /    19 runs  "
        " (    8.83 ms per token,   113.21 tokens per second)",
        "common_perf_print:       total time =     196.13 ms /    24 tokens",
        "common_perf_print: unaccounted time =       2.05 ms /   1.0 %"
        "      (total - sampling - prompt eval - eval) / (total)",
        "common_perf_print:    graphs reused =         18",
    )


def test_a_run_that_made_nothing_divides_by_nothing() -> None:
    assert "(    0.00 ms per token,     0.00 tokens per second)" in summary(Times())[2]
