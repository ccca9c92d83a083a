from lsfa_cli.checks.sizes import Sizes
from tests.checks.views import clean, cloud_view, judged, scene, view


def test_one_size():
    verdict = judged(Sizes(), clean(3))
    assert verdict.findings == ()
    assert verdict.figures == {"128 x 128": 3}


def test_another_size_is_noted_with_its_samples():
    verdict = judged(Sizes(), [*clean(3), view(scene(height=100, width=120), "test/good/000")])
    (finding,) = verdict.findings
    assert finding.severity == "note"
    assert finding.samples == ("test/good/000",)
    assert "120 x 100 (1), 128 x 128 (3)" in finding.message


def test_clouds_have_no_size():
    assert judged(Sizes(), [cloud_view([[0, 0, 0]])]).figures == {}
