"""Pictures of candidates: what stands under the roofline, and the files."""

import sys

import pytest
from click.testing import CliRunner

from planner.cli.candidates import command
from planner.errors import ScenarioError
from planner.report.candidate_plots import roofs_of, write_candidate_plots
from tests.small_world import CHAT, NIGHT, known, scenario


@pytest.fixture(scope="module")
def question():
    return known(scenario(demand=[CHAT, NIGHT]))


def test_roof_of_an_l40s(question):
    roof = roofs_of(question, 0)[0]
    # Data sheet: 864 GB/s, 733 TFLOP/s in fp8 (with sparsity 1,466).
    assert roof.bytes_per_s == pytest.approx(864e9)
    assert roof.flop_per_s == pytest.approx(733e12, rel=0.01)
    decode, prefill = roof.phases
    assert (decode.name, prefill.name) == ("decode", "prefill")
    # Decode lies left of the ridge, prefill right of it, both below what kernels reach.
    ridge = roof.flop_per_s / roof.bytes_per_s
    assert decode.flop_per_byte < ridge < prefill.flop_per_byte
    assert decode.flop_per_s < roof.bytes_per_s * roof.stream_frac * decode.flop_per_byte
    assert prefill.flop_per_s < roof.flop_per_s * roof.flop_frac


def test_decode_by_its_step(question):
    # 2 FLOP a weight and sequence at least, 8.03e9 weights less the input embedding of 0.525e9.
    decode = roofs_of(question, 0)[0].phases[0]
    sequences = float(question.table.sequences_max[0]) / 2
    least = 2 * 7.505e9 * sequences / float(question.table.decode_step_s[0])
    assert least < decode.flop_per_s < 1.3 * least


def test_pictures_of_those_that_serve(question, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    written = write_candidate_plots(question, [0, 1], tmp_path / "plots")
    assert [path.name[:3] for path in written] == ["01_", "02_"]
    assert all(path.stat().st_size > 10_000 for path in written)


def test_a_stated_rate_has_nothing_to_show(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    stated = {"demand_class": "chat", "accelerator": "l40s", "gpus": 1, "requests_per_s": 3.0,
              "source": "own runs"}  # fmt: skip
    assert write_candidate_plots(known(scenario(serving_table=[stated])), [0], tmp_path) == []


def test_plots_need_their_extra(monkeypatch, question, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ScenarioError, match=r"pip install .*\[plots\]"):
        write_candidate_plots(question, [0], tmp_path)


def test_the_command_draws_what_it_lists(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    words = ["chat_8b", "--limit", "1", "--filter", "accelerator=h100-sxm", "--json"]
    done = CliRunner().invoke(
        command, [*words, "--plots", str(tmp_path / "plots")], catch_exceptions=False
    )
    assert done.exit_code == 0
    (picture,) = (tmp_path / "plots").iterdir()
    assert "h100-sxm" in picture.name
