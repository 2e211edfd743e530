"""Check results as JUnit XML, which CI servers show as tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from trtforge.checks.result import CheckResult, describe

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(result: CheckResult) -> str:
    """Write each finding as a test case: failed where it fails, an error where it cannot be told.

    The form is that of the JUnit task of Apache Ant, which Jenkins, GitLab and GitHub actions read.
    """
    verdicts = [finding.verdict for finding in result.findings]
    suite = ElementTree.Element(
        "testsuite",
        name="trtforge check",
        tests=str(len(verdicts) + len(result.faults)),
        failures=str(verdicts.count("fail") + len(result.faults)),
        errors=str(verdicts.count("undecided")),
    )
    for fault in result.faults:
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(result.candidate), name="outputs")
        ElementTree.SubElement(case, "failure", message=_clean(fault)).text = _clean(str(result))
    for finding in result.findings:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(result.candidate), name=_clean(finding.name)
        )
        if finding.verdict != "pass":
            kind = "failure" if finding.verdict == "fail" else "error"
            message = _clean(describe(finding))
            ElementTree.SubElement(case, kind, message=message).text = _clean(str(result))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
    )


def _clean(text: str) -> str:
    """Leave out what XML 1.0 cannot hold: control characters, lone surrogates, U+FFFE and U+FFFF."""
    return _NO_XML.sub("", text)
