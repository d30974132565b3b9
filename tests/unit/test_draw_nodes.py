"""The nodes of a cluster as a drawing, for ``gpu-slice usage --draw FILE.svg``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from tests.unit.test_draw import HOSTILE, SVG, parse
from tests.unit.test_usage import FLEET, looked, node, pod
from webhook.cli import cluster
from webhook.cli import usage as command
from webhook.cli.main import main
from webhook.draw.node import Use
from webhook.draw.nodes import MOST, Node, Pool, draw

CLUSTER = looked(
    [node("a", "small"), node("b", "mixed"), node("c", slices={})], [pod("p", "a"), pod("q", "b", minutes=2)]
)


def lines(text: str) -> list[str]:
    return [each.text for each in ElementTree.fromstring(text).iter(f"{SVG}text")]


def test_each_node_is_drawn_under_its_pool_with_a_square_a_slice() -> None:
    pools = [Pool("small", [Node("a", [Use("1g.5gb", 3, 7)]), Node("b", [])]), Pool("x", [Node("c", [Use("m", 0, 2)])])]
    root = parse(draw(pools))
    assert Counter(each.get("class") for each in root.iter(f"{SVG}rect")) == {"page": 1, "marked": 3, "free": 6}
    told = lines(draw(pools))
    for shown in ("small", "a", "1g.5gb: 3 of 7 used, 4 free", "b", "It has no slices.", "x", "m: 0 of 2 used, 2 free"):
        assert shown in told
    assert root[1].text.startswith("small: 1g.5gb: 3 of 7 used, 4 free; x: m: 0 of 2 used, 2 free.")


@pytest.mark.parametrize("shape", [(1_000,), (500, 500), (1, 999), (1,) * 1_000])
def test_of_many_nodes_some_are_drawn_and_the_others_are_added_up(shape: tuple[int, ...]) -> None:
    pools = [
        Pool(f"p{index}", [Node(f"n{number}", [Use("1g.5gb", 1, 56), Use("2g", 2, 2)]) for number in range(count)])
        for index, count in enumerate(shape)
    ]
    text = draw(pools)
    told = lines(text)
    assert len(text) < 300_000
    drawn = sum(line.startswith("n") for line in told)
    assert drawn <= MOST
    left = [int(line.split()[2].replace(",", "")) for line in told if " more " in line and line.startswith("…")]
    assert drawn + sum(left) == 1_000
    if shape == (1_000,):
        assert "… and 880 more nodes" in told
        assert "1g.5gb: 880 of 49280 used, 48400 free" in told


def test_a_cluster_without_nodes_is_said_to_have_none() -> None:
    assert "There are none." in parse(draw([]))[1].text


def test_names_of_others_do_no_harm() -> None:
    parse(draw([Pool(HOSTILE, [Node(HOSTILE, [Use(HOSTILE, 1, 2)])]), Pool("n" * 9_999, [Node("x" * 9_999, [])])]))
    parse(draw([Pool("p", [Node("n", [Use("x", 10**9, 2 * 10**9), *(Use(f"k{each}", 1, 9) for each in range(40))])])]))


@pytest.fixture(name="usage")
def _usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, in this cluster."""
    monkeypatch.setattr(cluster, "reader", lambda *_: None)
    monkeypatch.setattr(cluster, "fleet_of", lambda *_: FLEET)
    monkeypatch.setattr(command, "_look", lambda *_: CLUSTER)


@pytest.mark.usefixtures("usage")
@pytest.mark.parametrize("output", ["table", "json", "short"])
def test_usage_writes_the_drawing_into_a_file_beside_its_output(tmp_path: Path, output: str) -> None:
    file = tmp_path / "nodes.svg"
    plain = CliRunner().invoke(main, ["usage", "-o", output])
    result = CliRunner().invoke(main, ["usage", "-o", output, "--draw", str(file)])
    assert (result.exit_code, result.stdout) == (0, plain.stdout)
    told = lines(file.read_text())
    assert "small" in told
    assert "a  p4d.24xlarge" in told
    assert "1g.5gb: 1 of 56 used, 55 free" in told


@pytest.mark.usefixtures("usage")
def test_without_a_file_usage_draws_blocks() -> None:
    for arguments in (["--draw"], ["--draw", "--depth", "node"]):
        assert "█ used, ░ free" in CliRunner().invoke(main, ["usage", *arguments]).stdout
    assert "█" not in CliRunner().invoke(main, ["usage"]).stdout


@pytest.mark.usefixtures("usage")
def test_a_file_that_cannot_be_written_is_a_wrong_call(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["usage", "--draw", str(tmp_path / "no" / "nodes.svg")])
    assert result.exit_code == 2
    assert "No such file or directory" in result.stderr
