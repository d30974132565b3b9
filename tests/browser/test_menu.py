"""What a click on the page writes, and what it says of pools in shadow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.pages import Visit, fragment
from tests.browser.test_page import POD
from webhook.cli.files import default_fleet_text, load_fleet

ASK = "Ask for 2g.10gb of a100-40gb"
GETS = ["main gets 1 × 2g.10gb as nvidia.com/mig-2g.10gb"]
SPEC = "spec: {containers: [{name: main}]}\n"


@pytest.fixture(name="visit_to")
def _visit_to(browser: Browser, address_of: Callable[[str], str]) -> Iterator[Callable[[str], Visit]]:
    """The page of the fleet of that name."""
    context = browser.new_context()
    yield lambda name: Visit(context.new_page(), address_of(name))
    context.close()


def click(visit: Visit) -> str:
    """What is told after a click on the menu."""
    visit.page.get_by_role("button", name=ASK).click()
    told = visit.page.locator(".told")
    expect(told).to_be_visible()
    visit.settle()
    return told.inner_text()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"kind: Pod\nmetadata:\n    name: p\n    annotations:\n        x: y\n{SPEC}", id="four spaces"),
        pytest.param(f"kind: Pod\nmetadata:\n  name: p\n  annotations: {{a/b: 'true'}}\n{SPEC}", id="in braces"),
        pytest.param(f"kind: Pod\nmetadata:\n  name: p\n  annotations: {{}}\n{SPEC}", id="empty braces"),
        pytest.param(f"kind: Pod\nmetadata:\n  name: p\n  annotations:  # ours\n{SPEC}", id="nothing but a comment"),
        pytest.param(f"kind: Pod\nmetadata:\n  name: p\n  # gpu-slice: 1g.5gb was too small\n{SPEC}", id="a comment"),
        pytest.param(f"kind: Pod\nmetadata:\n  name: p\n  labels:\n    gpu-slice: 1g.5gb\n{SPEC}", id="a label"),
        pytest.param(
            f"kind: Pod\nmetadata:\n  name: p\n  annotations:\n    gpu-slice: >-\n      9g.9gb\n{SPEC}", id="folded"
        ),
        pytest.param(json.dumps({"kind": "Pod", "metadata": {"name": "p🚀"}, "spec": yaml.safe_load(SPEC)["spec"]}),
                     id="JSON"),
    ],
)  # fmt: skip
def test_a_slice_of_the_menu_is_written_and_nothing_else_is_changed(visit: Visit, text: str) -> None:
    visit.open(text)
    assert click(visit) == "The pod asks for 2g.10gb"
    assert visit.seen()["gets"] == GETS
    before, after = (
        yaml.safe_load(text.replace("\\ud83d\\ude80", "🚀")),
        yaml.safe_load(visit.text.replace("\\ud83d\\ude80", "🚀")),
    )
    assert after["metadata"]["annotations"].pop("gpu-slice") == "2g.10gb"
    before["metadata"]["annotations"] = before["metadata"].get("annotations") or {}
    before["metadata"]["annotations"].pop("gpu-slice", None)
    assert after == before
    assert "#" not in text or text[text.index("#") :].partition("\n")[0] in visit.text
    assert visit.problems == []


def test_where_a_slice_has_no_place_nothing_is_changed_and_it_is_told_what_to_write(visit: Visit) -> None:
    workflow = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  name: w\nspec:\n  templates: []\n"
    text = POD.format("1g.5gb") + "---\nkind: ConfigMap\nmetadata:\n  name: c\n---\n" + workflow
    visit.open(text)
    visit.page.get_by_role("button", name="ConfigMap c").click()
    visit.settle()
    assert (
        click(visit) == "Nothing is written for ConfigMap c: it makes no pods. Put the cursor into a pod or a workload"
    )
    visit.page.get_by_role("button", name="Workflow w").click()
    visit.settle()
    assert click(visit).endswith("Write 'gpu-slice: 2g.10gb' in spec.templates[*].metadata.annotations")
    assert visit.text == text
    visit.page.get_by_role("button", name="Pod notebook").click()
    visit.settle()
    click(visit)
    assert visit.text == text.replace("1g.5gb", "2g.10gb")


def test_of_two_pods_on_one_line_the_chosen_one_is_changed_and_shown(visit: Visit) -> None:
    pods = [yaml.safe_load(POD.format("1g.5gb").replace("notebook", name)) for name in ("one", "two", "three")]
    visit.open(json.dumps({"kind": "List", "items": pods}))
    visit.page.get_by_role("button", name="Pod two").click()
    visit.settle()
    click(visit)
    asked = [each["metadata"]["annotations"]["gpu-slice"] for each in json.loads(visit.text)["items"]]
    assert asked == ["1g.5gb", "2g.10gb", "1g.5gb"]
    expect(visit.page.locator("#entries [aria-current] .name")).to_have_text("Pod two")
    expect(visit.page.locator(".gets")).to_have_text(GETS)


def test_an_answer_about_an_older_text_writes_nothing(visit: Visit) -> None:
    text = POD.format("1g.5gb") + "#" * 25_000 + "\n"  # so long that a pause is waited for
    visit.open(text)
    held: list[Route] = []
    visit.page.route("**/dry-run*write=*", lambda route: held.append(route))
    visit.page.get_by_role("button", name=ASK).click()
    visit.editor.click()
    visit.page.keyboard.press("Control+Home")
    visit.page.keyboard.type("#\n", delay=0)
    for route in held:
        route.continue_()
    visit.settle()
    assert len(held) == 1
    assert visit.text == f"#\n{text}"
    assert visit.page.locator(".told").count() == 0


def test_a_slice_is_written_before_the_editor_is_there_and_into_a_text_area(visit: Visit) -> None:
    held: list[Any] = []
    visit.page.route("**/editor.bundle.js", lambda route: held.append(route))
    visit.page.goto(visit.address + fragment(POD.format("1g.5gb").replace("\n", "\r\n")), wait_until="commit")
    visit.page.get_by_role("button", name=ASK).click()
    expect(visit.page.locator(".gets")).to_have_text(GETS)
    for route in held:
        route.fulfill(status=404)
    visit.settle()
    assert visit.page.locator("textarea").input_value() == POD.format("2g.10gb")
    visit.page.locator("textarea").fill(f"kind: Pod\nmetadata: {{name: p}}\n{SPEC}")
    visit.settle()
    click(visit)
    expect(visit.page.locator(".gets")).to_have_text(GETS)


def test_a_slice_for_an_empty_text_is_an_example(visit: Visit) -> None:
    visit.open("")
    visit.page.get_by_role("button", name=ASK).click()
    expect(visit.page.locator(".gets")).to_have_text(GETS)


def badge(page: Page) -> str:
    return str(page.locator(".verdict .badge").get_attribute("class"))


def test_a_pod_in_shadow_is_told_as_one_that_stays_as_it_is(visit_to: Callable[[str], Visit], axe: str) -> None:
    visit = visit_to("shadow-pools")
    whole = POD.format("1g.10gb") + "      resources: {limits: {nvidia.com/gpu: 1}}\n"
    visit.open(whole + "---\n" + POD.format("1g.5gb"))
    seen = visit.seen()
    assert seen["headline"] == "◐Not changed, in shadow"
    assert badge(visit.page) == "badge calm"
    assert seen["gets"] == ["main would get 1 × 1g.10gb as nvidia.com/mig-1g.10gb"]
    assert "would be replaced" in seen["warnings"][1]["message"]
    expect(visit.page.locator("#gpu-title")).to_have_text("Where it would run")
    expect(visit.page.locator("#entries > p")).to_have_text("2 pods and objects: 1 admitted, 1 in shadow.")
    assert visit.violations(axe) == []
    visit.open(POD.format("1g5gb"), "quiet")
    assert visit.seen()["headline"] == "◐Not denied, in shadowgrammar"
    assert badge(visit.page) == "badge calm"
    visit.open(POD.format("1g.5gb"))
    assert visit.seen()["headline"] == "✓Admitted, with its slice"
    expect(visit.page.locator("#gpu-title")).to_have_text("Where it runs")


@pytest.mark.parametrize(("namespace", "shadow"), [("default", ["1g.5gb", "1g.10gb"]), ("quiet", None)])
def test_the_menu_marks_what_is_in_shadow_for_the_namespace(
    visit_to: Callable[[str], Visit], namespace: str, shadow: list[str] | None
) -> None:
    visit = visit_to("shadow-pools")
    visit.open(POD.format("1g.5gb"), namespace)
    rows = visit.page.locator("#menu tbody tr")
    expect(rows.filter(has_text="in shadow")).to_have_count(2 if shadow else rows.count())
    if shadow:
        expect(rows.filter(has_text="in shadow").get_by_role("button")).to_have_text(shadow)
        visit.page.locator("#example").select_option("One slice")
        visit.settle()
        assert "Admitted" in visit.seen()["headline"]


def test_the_table_rounds_memory_as_the_drawings_do(visit: Visit) -> None:
    catalogue = load_fleet(default_fleet_text()).catalogue
    sizes = sorted({each.memory_mib for gpu in catalogue.gpus.values() for each in gpu.profiles if each.memory_mib})
    visit.open()
    shown = visit.page.evaluate("(sizes) => import('/page/dom.js').then(({ gib }) => sizes.map(gib))", sizes)
    assert shown == [f"{size / 1024:.2f} GiB" for size in sizes]
    assert "19.62 GiB" in shown


@pytest.mark.parametrize(
    ("value", "namespace", "heading"),
    [("1g5gb", "default", "What to write"), ("1g.5gb", "nobody", "What to do")],
)
def test_only_what_can_be_written_is_called_so(
    visit_to: Callable[[str], Visit], value: str, namespace: str, heading: str
) -> None:
    visit = visit_to("teams")
    visit.open(POD.format(value), namespace)
    expect(visit.page.locator(".instead h4")).to_have_text(heading)
