"""The bench of payments: two processes over a real broker, and figures that fit together."""

from pathlib import Path

from agent import benchpay


def test_a_small_bench_of_payments_pays_everything_and_says_how_fast(tmp_path: Path) -> None:
    figures = benchpay.payments(tmp_path, 100)

    assert figures["items"] == 100
    assert figures["items_paid_per_s"] > 0
    assert figures["vouchers_taken_per_cpu_s"] >= figures["vouchers_taken_per_s"] > 0
    assert 0 < figures["share_of_limit"] < 1
