"""Counts the test cases of one run of `bazel test`, from its build event file.

Prints "PASSED FAILED" and names what failed on standard error.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree


def xml_files(events_path: str):
    """The JUnit file of each test of the run, with the test's name."""
    with open(events_path, encoding="utf-8") as events:
        for line in events:
            event = json.loads(line)
            if "testResult" not in event:
                continue
            for output in event["testResult"].get("testActionOutput", []):
                if output["name"] == "test.xml":
                    path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
                    yield event["id"]["testResult"]["label"], path


def main() -> None:
    passed = failed = 0
    for label, path in xml_files(sys.argv[1]):
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            if case.get("status") == "notrun" or case.find("skipped") is not None:
                continue
            if case.find("failure") is None and case.find("error") is None:
                passed += 1
            else:
                failed += 1
                print(f"failed: {label} {case.get('classname')}.{case.get('name')}", file=sys.stderr)
    print(passed, failed)


if __name__ == "__main__":
    main()
