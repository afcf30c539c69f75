"""The public workflow names only files that exist, and installs what `tools/test` installs."""

import re

import yaml

from tests.support.paths import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def test_the_workflow_is_read_and_its_jobs_have_steps() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert {name for name, job in workflow["jobs"].items() if not job["steps"]} == set()


def test_the_workflows_paths_exist() -> None:
    paths = set(re.findall(r"\b(?:tests|tools)/[\w/.-]*\w", WORKFLOW.read_text(encoding="utf-8")))
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_the_tests_are_given_what_tools_test_installs() -> None:
    setup = (ROOT / "tools" / "setup.sh").read_text(encoding="utf-8")
    (wanted,) = re.findall(r'-e "\$ROOT\[(\w+(?:,\w+)+)\]"', setup)
    assert re.findall(r"install -e '\.\[([\w,]+)\]'", WORKFLOW.read_text(encoding="utf-8")) == [wanted]
