"""Say whether a candidate got worse than an accepted baseline: pass, fail, or not enough clips to tell."""

from trtforge.checks.annotations import github_annotations
from trtforge.checks.baseline import Baseline, BaselineClip
from trtforge.checks.config import CheckConfig
from trtforge.checks.decision import Finding, Verdict, judge_snr, judge_speed, judge_words
from trtforge.checks.judge import judge
from trtforge.checks.junit import junit_xml
from trtforge.checks.markdown import markdown_summary
from trtforge.checks.result import CheckResult, WorseClip
from trtforge.checks.strata import judge_strata
from trtforge.checks.timings import Timings, time_side_by_side

__all__ = [
    "Baseline",
    "BaselineClip",
    "CheckConfig",
    "CheckResult",
    "Finding",
    "Timings",
    "Verdict",
    "WorseClip",
    "github_annotations",
    "judge",
    "judge_snr",
    "judge_speed",
    "judge_strata",
    "judge_words",
    "junit_xml",
    "markdown_summary",
    "time_side_by_side",
]
