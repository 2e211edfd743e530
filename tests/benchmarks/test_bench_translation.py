import json

from benchmarks.bench_translation import RESULT, ROOT


def test_the_page_tells_the_measured_times():
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    page = " ".join((ROOT / "docs/translation.md").read_text(encoding="utf-8").split())
    assert result["words"] == 1000
    assert f"{result['sentences']} sentences" in page
    assert f"took {result['median_seconds']:.3f} s in FP16, the median of five" in page
    assert f"`transformers` in FP16 took {result['transformers']['best']['seconds']:.3f} s" in page
