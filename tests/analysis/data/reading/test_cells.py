import math

import pytest

from analysis.data.reading.cells import decimal_evidence, is_missing, read_number


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.3B", 1.3e9),
        ("400M", 4e8),
        ("57k", 57e3),
        ("1.4T tokens", 1.4e12),
        ("2.5e9 tokens", 2.5e9),
        ("5 million params", 5e6),
        ("1,234,567", 1234567),
        ("1 300 000", 1.3e6),
        ("1'300'000.5", 1300000.5),
        ("6 x 10^18", 6e18),
        ("6.1×10^18 FLOPs", 6.1e18),
        ("12 PF-days", 12 * 8.64e19),
        ("300 EFLOPs", 3e20),
        ("-3", -3),
        (".5", 0.5),
        ("1e999", math.inf),
    ],
)
def test_numbers_as_people_write_them(cell, value):
    assert read_number(cell) == pytest.approx(value, rel=1e-15)


COMMAS = {"3,25": 3.25, "3,250": 3.25, "1,3B": 1.3e9, "1.300.000": 1.3e6, "1.234,5": 1234.5}


@pytest.mark.parametrize(("cell", "value"), COMMAS.items())
def test_numbers_with_decimal_commas(cell, value):
    assert read_number(cell, ",") == value


@pytest.mark.parametrize("cell", ["1,2x3", "3,25", "12,34,567", "1.2.3", "7b-v2", "B", "1 2", "e5"])
def test_what_is_no_number_is_none(cell):
    assert read_number(cell) is None


def test_a_number_with_an_exponent_is_the_float_that_python_reads():
    for text in ("9.993852799709755e+18", "1.8172233445566778", "1e22", "6.02e23"):
        assert read_number(text) == float(text)


def test_only_some_cells_prove_their_decimal_mark():
    assert decimal_evidence(["3,25"]) == ({",": "3,25"}, None)
    assert decimal_evidence(["1,234,567", "3,250"]) == ({".": "1,234,567"}, "3,250")
    assert decimal_evidence(["3,250"]) == ({}, "3,250")
    assert decimal_evidence(["3.250"]) == ({}, None)
    # Versions and dates have points but are no numbers.
    assert decimal_evidence(["2.9.1", "26.11.2026", "10.0.0.1"]) == ({}, None)


def test_missing_cells():
    assert all(is_missing(cell) for cell in (None, float("nan"), "", " N/A ", "null", "-"))
    assert not any(is_missing(cell) for cell in (0, "0", "no", -1))
