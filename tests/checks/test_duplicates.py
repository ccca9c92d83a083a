from lsfa_cli.checks.duplicates import Duplicates
from tests.checks.views import file_view, judged


def findings(*views):
    return judged(Duplicates(), views).findings


def test_nothing_alike():
    assert findings(file_view("train/good/000"), file_view("test/good/000")) == []


def test_the_same_in_training_and_test_is_an_error():
    both = {"rgb": "a", "xyz": "b"}
    (finding,) = findings(file_view("train/good/000", both), file_view("test/hole/003", both))
    assert finding.severity == "error"
    assert "the same image and scan 2 times, in training and test" in finding.message
    assert finding.samples == ("train/good/000", "test/hole/003")
    assert "train/good/000.png" in finding.files
    assert "test/hole/003.tiff" in finding.files


def test_the_same_scan_within_a_split_is_a_warning():
    (finding,) = findings(file_view("train/good/000", {"xyz": "b"}), file_view("train/good/001", {"xyz": "b"}))
    assert finding.severity == "warning"
    assert "the same scan 2 times, in train." in finding.message


def test_validation_and_test_share_too():
    (finding,) = findings(file_view("validation/good/000", {"rgb": "b"}), file_view("test/good/001", {"rgb": "b"}))
    assert finding.severity == "error"
    assert "in test and validation" in finding.message
    (finding,) = findings(file_view("train/good/000", {"rgb": "b"}), file_view("validation/good/001", {"rgb": "b"}))
    assert finding.severity == "warning"


def test_the_same_as_good_and_as_defective_is_an_error():
    (finding,) = findings(file_view("test/good/000", {"rgb": "b"}), file_view("test/hole/001", {"rgb": "b"}))
    assert finding.severity == "error"
    assert "in test, as good and as defective" in finding.message
    (finding,) = findings(file_view("test/dent/000", {"rgb": "b"}), file_view("test/hole/001", {"rgb": "b"}))
    assert finding.severity == "warning"


def test_sets_of_samples_are_kept_apart():
    found = findings(
        *(file_view(f"train/good/{number:03}", {"rgb": "a"}) for number in range(3)),
        *(file_view(f"test/good/{number:03}", {"rgb": "b"}) for number in range(2)),
    )
    assert [len(finding.samples) for finding in found] == [3, 2]


def test_equal_masks_and_calibrations_are_as_they_should_be():
    same = {"mask": "a", "pose": "b"}
    assert findings(file_view("test/good/000", same), file_view("test/good/001", same)) == []


def test_an_image_that_equals_a_scan_is_not_the_same_image():
    assert findings(file_view("train/good/000", {"rgb": "a"}), file_view("test/good/001", {"xyz": "a"})) == []
