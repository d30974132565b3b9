"""The page, as a person uses it who has a pod in hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.pages import Visit, fragment

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: notebook
  annotations:
    gpu-slice: {}
spec:
  containers:
    - name: main
      image: example/main:1
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  template:
    spec:
      containers:
        - name: server
"""
TWO_TEMPLATES = """\
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata: {name: train}
spec:
  tasks:
    - name: master
      template:
        metadata: {annotations: {gpu-slice: 1g.5gb}}
        spec: {containers: [{name: master}]}
    - name: worker
      template:
        metadata: {annotations: {gpu-slice: 9g.5gb}}
        spec: {containers: [{name: worker}]}
"""


def test_as_one_types_the_diff_follows(visit: Visit) -> None:
    visit.open()
    visit.write(POD.format(""))
    for _ in range(5):
        visit.page.keyboard.press("ArrowUp")
    visit.page.keyboard.press("End")
    visit.page.keyboard.type("2g.10gb", delay=15)
    visit.page.keyboard.press("Escape")
    visit.settle()

    seen = visit.seen()
    assert visit.text == POD.format("2g.10gb")
    assert "Admitted" in seen["headline"]
    assert seen["gets"] == ["main gets 1 × 2g.10gb as nvidia.com/mig-2g.10gb"]
    assert '+        nvidia.com/mig-2g.10gb: "1"' in seen["views"]["Diff"]
    assert visit.problems == []


def test_an_old_answer_never_takes_the_place_of_a_newer_one(visit: Visit) -> None:
    visit.open()
    held: list[Any] = []
    visit.page.route("**/dry-run*", lambda route: held.append(route) if not held else route.continue_())
    visit.editor.click()
    visit.page.keyboard.press("Control+a")
    visit.page.keyboard.insert_text(POD.format("1g5gb"))
    visit.page.wait_for_timeout(100)
    visit.write(POD.format("3g.20gb"))
    held[0].continue_()
    visit.page.wait_for_timeout(200)

    assert "Admitted" in visit.seen()["headline"]


@pytest.mark.parametrize("space", [" ", " '", ' "'])
def test_a_mistake_is_underlined_where_it_is_and_one_click_mends_it(visit: Visit, space: str) -> None:
    visit.open(POD.format("X").replace(" X", f"{space}trainer=1g.5gb,main=1g5gb{space.strip()}").replace(
        "    - name: main\n", "    - name: trainer\n    - name: main\n"
    ))  # fmt: skip

    assert visit.page.locator(".cm-lintRange-error").all_inner_texts() == ["5gb"]
    assert visit.page.locator(".cm-lint-marker-error").count() == 1
    visit.page.get_by_role("button", name="Replace it with trainer=1g.5gb,main=1g.5gb").click()
    visit.settle()
    assert len(visit.seen()["gets"]) == 2
    assert visit.page.locator(".cm-lintRange-error").count() == 0


def test_a_denial_without_a_place_in_the_value_is_quoted_as_it_was_written(visit: Visit) -> None:
    visit.open(POD.format("17"))
    assert visit.page.locator(".verdict").inner_text().split("\n").count("false") == 0
    visit.open(POD.format("bogus"))
    assert "'bogus'" in visit.page.locator(".verdict .sentence").inner_text()
    visit.open("a: [")
    assert not visit.page.locator("main").inner_text().rstrip().endswith("..")


def test_a_denial_says_what_is_wrong_and_what_to_write(visit: Visit) -> None:
    visit.open(POD.format("1g5gb"))
    seen = visit.seen()

    assert seen["headline"].startswith("✕Denied")
    assert seen["code"] == "grammar"
    assert seen["hint"] == "Write '1g.5gb'."
    assert seen["paragraph"].startswith("Why: the value of the annotation is not written in a way")
    visit.page.get_by_role("button", name="metadata.annotations[gpu-slice]").click()
    expect(visit.editor).to_be_focused()


def test_a_file_is_dropped(visit: Visit) -> None:
    visit.open()
    visit.drop("pod.yaml", POD.format("shared"))
    expect(visit.page.locator(".gets")).to_have_text("main gets 1 × shared as nvidia.com/gpu.shared")
    assert visit.text == POD.format("shared")
    visit.drop("picture.png", b"\x89PNG\xff\xfe")
    expect(visit.page.locator(".told")).to_have_text("The file is no text in UTF-8.")
    visit.drop("large.yaml", "#" * 600_000)
    expect(visit.page.locator(".told")).to_contain_text("larger than 512 KiB")
    assert visit.text == POD.format("shared")


def test_json_is_read_and_marked_too(visit: Visit) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "n", "annotations": {"gpu-slice": "1g5gb"}}, "spec": {"containers": []}}
    visit.open(json.dumps(pod | {"spec": {"containers": [{"name": "main"}]}}, indent=2))

    assert visit.page.locator(".cm-lintRange-error").all_inner_texts() == ["5gb"]


def test_a_link_carries_the_document_and_its_namespace(visit: Visit) -> None:
    visit.open(POD.format("1g.5gb  # é 🚀"), namespace="kube-system")
    assert visit.page.locator("#namespace").input_value() == "kube-system"
    assert "never changed" in visit.seen()["sentence"]
    visit.page.locator("#namespace").fill("default")
    visit.settle()
    expect(visit.page).to_have_url(re.compile("/#d="))
    text = visit.text
    visit.page.reload()
    visit.settle()

    assert visit.text == text == POD.format("1g.5gb  # é 🚀")
    assert "Admitted" in visit.seen()["headline"]
    assert not [url for url in visit.requests if "d=" in url.partition("#")[0]]


@pytest.mark.parametrize(
    "broken", ["#d=!", "#d=AAAA", "#d=", "#n=team-a", fragment(POD.format("1g.5gb"), "team-a")[:-9]]
)
def test_a_link_that_was_cut_says_so_and_shows_nothing_else(visit: Visit, broken: str) -> None:
    visit.page.goto(visit.address + broken)
    visit.settle()
    assert visit.seen()["headline"] == "!This link cannot be read"
    assert "Ask for the whole link" in visit.page.locator(".verdict").inner_text()
    assert visit.editor.inner_text().strip() == ""
    visit.write(POD.format("1g.5gb"))
    assert "Admitted" in visit.seen()["headline"]
    visit.write("")
    assert visit.seen()["headline"] == "–Nothing to look at yet"


def test_an_address_without_a_document_shows_an_example(visit: Visit) -> None:
    visit.page.goto(visit.address + "#x")
    visit.settle()
    assert "Admitted" in visit.seen()["headline"]


def test_a_link_that_expands_without_end_is_refused(visit: Visit) -> None:
    visit.open("#" * 5_000_000)
    expect(visit.page.locator(".verdict p")).to_contain_text("more than 512 KiB")


def test_the_answer_is_there_before_the_editor_and_its_mistake_can_be_mended_there(visit: Visit) -> None:
    held: list[Any] = []
    visit.page.route("**/editor.bundle.js", lambda route: held.append(route))
    visit.page.goto(visit.address + fragment(POD.format("1g5gb")), wait_until="commit")
    visit.page.get_by_role("button", name="Replace it with 1g.5gb").click()
    expect(visit.page.locator(".verdict h3")).to_contain_text("Admitted")
    for route in held:
        route.continue_()
    visit.settle()
    assert visit.text == POD.format("1g.5gb")
    assert visit.problems == []


def test_a_second_load_takes_its_files_from_the_first(visit: Visit) -> None:
    size = "performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.transferSize, 0)"
    visit.open(POD.format("1g.5gb"))
    first = visit.page.evaluate(size)
    visit.open(POD.format("1g.5gb"))
    assert visit.page.evaluate(size) < first / 3
    assert "Admitted" in visit.seen()["headline"]


def test_a_name_that_no_namespace_has_is_told_in_plain_words(visit: Visit) -> None:
    visit.open(POD.format("1g.5gb"))
    field = visit.page.locator("#namespace")
    field.fill("Team_A")
    visit.settle()
    assert "Write at most 63 lower-case letters" in visit.page.locator(".verdict").inner_text()
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("team-a")
    visit.settle()
    expect(field).to_have_attribute("aria-invalid", "false")
    assert "Admitted" in visit.seen()["headline"]


def test_each_template_is_shown_by_its_path_and_what_is_denied_comes_first(visit: Visit) -> None:
    visit.open(TWO_TEMPLATES)
    expect(visit.page.locator(".verdict h3")).to_contain_text("Denied")
    seen = visit.seen()
    assert seen["entries"] == ["Job train, spec.tasks[0].template", "Job train, spec.tasks[1].template"]
    assert visit.page.locator("#entries [aria-current]").inner_text().startswith("✕")
    assert visit.page.locator("#entries > p").inner_text() == "2 pods and objects: 1 denied, 1 admitted."
    visit.page.get_by_role("button", name="spec.tasks[0].template").click()
    expect(visit.page.locator(".verdict h3")).to_contain_text("Admitted")
    visit.page.keyboard.press("Tab")
    visit.editor.click()
    visit.page.keyboard.press("Control+End")
    expect(visit.page.locator(".verdict h3")).to_contain_text("Denied")


def test_the_menu_fills_in_the_annotation(visit: Visit) -> None:
    visit.open(POD.format("7g.40gb"))
    visit.page.get_by_role("button", name="Ask for 1g.10gb of h100-80gb").click()
    visit.settle()
    assert "    gpu-slice: 1g.10gb@h100-80gb\n" in visit.text
    visit.open(DEPLOYMENT)
    visit.page.get_by_role("button", name="Ask for shared of a10g").click()
    visit.settle()
    assert visit.text == DEPLOYMENT.replace(
        "  template:\n", "  template:\n    metadata:\n      annotations:\n        gpu-slice: shared\n"
    )
    assert "Admitted" in visit.seen()["headline"]


@pytest.mark.parametrize(
    ("namespace", "slices"),
    [
        ("default", ["1g.5gb", "1g.5gb", "shared"]),
        ("notebooks", ["shared"]),
        ("research", ["3g.20gb", "2g.10gb", "1g.5gb"]),
        ("nobody", []),
    ],
)
def test_the_menu_and_the_examples_are_what_the_namespace_may_use(
    browser: Browser, address_of: Callable[[str], str], namespace: str, slices: list[str]
) -> None:
    context = browser.new_context()
    visit = Visit(context.new_page(), address_of("teams"))
    menu = visit.page.locator("#menu")
    visit.open()
    visit.page.locator("#namespace").fill(namespace)
    expect(menu.get_by_role("button")).to_have_text(slices)
    expect(menu.get_by_text(f"not for namespace {namespace}")).to_have_count(5 - len(slices))
    visit.page.locator("#example").select_option("One slice")
    visit.settle()
    assert ("Admitted" in visit.seen()["headline"]) == bool(slices)
    visit.open(visit.text, namespace)
    expect(menu.get_by_role("button")).to_have_text(slices)
    context.close()


def test_pools_say_whether_and_why_not_and_the_gpu_is_drawn(visit: Visit) -> None:
    visit.open(POD.format("1g.5gb"))
    pools = visit.page.locator("#pools")
    expect(pools.get_by_role("button")).to_have_count(2)
    expect(pools).to_contain_text("it has '4g.71gb' and '3g.71gb', and 'main' asks for '1g.5gb'.")
    picture = visit.page.locator("#picture img")
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100
    expect(visit.page.locator("#picture p")).to_have_text(
        "A p4d.24xlarge takes 56 such pods. Beside one of them it has 55 × 1g.5gb left."
    )
    pools.get_by_role("button", name="a100-mixed").click()
    expect(picture).to_have_attribute("alt", "One GPU of pool a100-mixed, with 1 × 1g.5gb for this pod")
    expect(pools.get_by_role("button", name="a100-mixed")).to_be_focused()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        pytest.param("1g.1", "1g.10gb", id="a slice"),
        pytest.param("2x1g.5", "2x1g.5gb", id="after a count"),
        pytest.param("1g.10gb@h", "1g.10gb@h100", id="a GPU that has it"),
        pytest.param("9g.9gb | sha", "9g.9gb | shared", id="an alternative"),
        pytest.param("main=1g.5gb,si", "main=1g.5gb,side=", id="a container"),
    ],
)
def test_the_annotation_is_completed_from_the_fleet(visit: Visit, typed: str, expected: str) -> None:
    visit.open(POD.format("").replace("    - name: main", "    - name: side\n    - name: main"))
    for _ in range(5):
        visit.page.keyboard.press("Tab")
    visit.editor.click()
    visit.page.keyboard.press("Control+Home")
    for _ in range(5):
        visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("End")
    visit.page.keyboard.type(typed)
    visit.page.locator(".cm-tooltip-autocomplete").wait_for()
    visit.page.wait_for_timeout(120)  # CodeMirror takes no key for a completion that has only just appeared
    visit.page.keyboard.press("Enter")
    visit.settle()
    assert f"    gpu-slice: {expected}\n" in visit.text


def test_tab_leaves_the_editor_and_arrows_choose_the_view(visit: Visit) -> None:
    visit.open(POD.format("1g.5gb"))
    visit.editor.click()
    visit.page.keyboard.press("Tab")
    expect(visit.editor).not_to_be_focused()
    tab = visit.page.get_by_role("tab", name="Diff")
    tab.focus()
    visit.page.keyboard.press("ArrowRight")
    expect(visit.page.get_by_role("tab", name="Patch")).to_be_focused()
    assert json.loads(visit.page.locator("#panel pre").inner_text())[0]["op"] == "add"


def test_a_hundred_pods_and_one_more(visit: Visit) -> None:
    visit.open("---\n".join(POD.format("1g.5gb").replace("notebook", f"pod-{number}") for number in range(101)))
    assert len(visit.seen()["entries"]) == 100
    expect(visit.page.locator("#entries > p")).to_have_text(
        "The first 100 pods and objects: 100 admitted. The text has more."
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "hello", "a: [", "kind: Service", "{{ .Values }}", "[1]"])
def test_what_is_no_pod_is_no_crash(visit: Visit, text: str) -> None:
    visit.open(POD.format("1g.5gb"))
    visit.write(text)
    assert "Admitted" not in visit.seen()["headline"]
    assert visit.problems == []


def test_a_text_that_cannot_be_read_says_on_which_line_and_leads_there(visit: Visit) -> None:
    visit.open(POD.format("1g.5gb").replace("    - name", "\t- name"))
    assert visit.page.locator(".verdict .sentence").inner_text().startswith("not YAML: ")
    visit.page.get_by_role("button", name="line 9").click()
    expect(visit.editor).to_be_focused()
    assert visit.page.locator(".cm-activeLine").inner_text().strip() == "- name: main"


def test_what_is_denied_far_below_is_shown_and_the_page_stays_at_its_top(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.open("---\n".join(POD.format("1g.5gb" if number < 30 else "1g5gb") for number in range(31)))
    expect(visit.page.locator(".verdict h3")).to_contain_text("Denied")
    expect(visit.page.locator(".cm-lintRange-error")).to_have_count(1)
    assert visit.page.evaluate("scrollY") == 0


def test_markup_in_a_pod_stays_text(visit: Visit) -> None:
    text = POD.format("1g.5gb").replace("notebook", "'<img src=x onerror=alert(1)>'")
    visit.open(text.replace("name: main", "name: '<b>x</b>'"))
    assert visit.page.locator(".subject").inner_text() == "Pod <img src=x onerror=alert(1)>"
    assert visit.seen()["gets"] == ["<b>x</b> gets 1 × 1g.5gb as nvidia.com/mig-1g.5gb"]


def test_a_server_that_has_ended_is_said_to_have(visit: Visit) -> None:
    visit.open()
    visit.page.route("**/dry-run*", lambda route: route.abort())
    visit.write("kind: Pod")
    assert visit.seen()["headline"] == "!No answer"


def test_nothing_is_asked_of_anybody_else_and_no_policy_is_violated(visit: Visit) -> None:
    violated = "addEventListener('securitypolicyviolation', (event) => console.error('CSP', event.violatedDirective))"
    visit.page.add_init_script(violated)
    visit.open(POD.format("1g5gb"))
    visit.open(TWO_TEMPLATES)
    visit.editor.click()
    visit.page.keyboard.press("Control+Space")
    visit.page.get_by_role("button", name="Ask for shared of a10g").click()
    visit.settle()

    assert {url for url in visit.requests if not url.startswith((visit.address, "about:"))} == set()
    assert visit.problems == []
    assert visit.page.context.cookies() == []
    assert visit.page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_without_its_editor_the_page_has_a_text_area_and_says_so(visit: Visit, axe: str) -> None:
    visit.page.route("**/editor.bundle.js", lambda route: route.fulfill(status=404))
    visit.open(POD.format("1g5gb"))
    expect(visit.page.locator("#plain")).to_contain_text("a plain text area")
    visit.page.get_by_role("button", name="Replace it with 1g.5gb").click()
    visit.settle()
    assert visit.page.locator("textarea").input_value() == POD.format("1g.5gb")
    visit.page.locator("textarea").fill(POD.format("shared"))
    visit.settle()
    assert visit.seen()["gets"] == ["main gets 1 × shared as nvidia.com/gpu.shared"]
    assert visit.violations(axe) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1440])
def test_axe_finds_nothing(
    browser: Browser, address_of: Callable[[str], str], axe: str, theme: Any, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=theme)
    visit = Visit(context.new_page(), address_of("default"))
    for text in (POD.format("1g.5gb"), POD.format("2x1g.5gb"), POD.format("1g5gb"), TWO_TEMPLATES, "", "a: ["):
        visit.open(text)
        assert visit.violations(axe) == []
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.open(POD.format("2x1g.5gb"))
    visit.page.locator("summary").first.click()
    visit.page.get_by_role("tab", name="Patch").click()
    assert visit.violations(axe) == []
    context.close()
