"""The page of measurements says what was measured."""

import json
from pathlib import Path

from tests.running import Script

ORIGIN = {
    "created": "2025-01-02T03:04:05+00:00",
    "processor": "abacus",
    "device": "cpu",
    "threads": 1,
    "versions": {"torch": "2.9"},
}


def rows(**medians: float) -> list[dict[str, object]]:
    return [
        {"contestant": name, "ratio_median": value, "ratio_min": value / 2, "ratio_max": 2 * value}
        for name, value in medians.items()
    ]


def test_the_page_holds_the_numbers_and_where_they_are_from(script: Script, tmp_path: Path) -> None:
    sizes = [{"d_model": width, "tokens": 47} for width in (64, 256)]
    content = {
        "origin": ORIGIN,
        "rounds": 3,
        "results": [
            {"size": sizes[0], "contestants": rows(plain=1.0, tvlens=0.5)},
            {"size": sizes[1], "contestants": rows(plain=1.0, tvlens=0.25)},
        ],
    }
    (tmp_path / "training_step.json").write_text(json.dumps(content))
    page = tmp_path / "page.md"
    ended = script("benchmarks/performance_page.py", "--measured", tmp_path, "--out", page)
    assert ended.code == 0
    text = page.read_text()
    assert "| | width 64, 47 tokens | width 256, 47 tokens |" in text
    assert "| tvlens | 0.50 (0.25 to 1.00) | 0.25 (0.12 to 0.50) |" in text
    assert "training_step, 2025-01-02: abacus, cpu, 1 thread(s); torch 2.9." in text
    assert "## The TVP loss on top" not in text


def test_without_measurements_there_is_no_page(script: Script, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    ended = script("benchmarks/performance_page.py", "--measured", tmp_path, "--out", page)
    assert ended.code == 2
    assert "make bench" in ended.error
    assert not page.exists()
