"""The exported file is the classifier, and needs nothing but torch."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from sweeper.tools import export as export_module
from sweeper.tools.predict import predict
from sweeper.training import weights

ALONE = """
import json, sys
import torch
sys.modules["sweeper"] = None  # any import of it fails
extra = {"sweeper.json": ""}
program = torch.export.load(sys.argv[1], extra_files=extra).module()
clips = torch.tensor(json.loads(sys.stdin.read()))
outputs = [program(clips).softmax(dim=1).tolist(), program(clips[:1]).softmax(dim=1).tolist()]
print(json.dumps([json.loads(extra["sweeper.json"]), *outputs]))
"""


def test_the_file_agrees_with_predict_in_a_process_that_has_torch_alone(trained, command, tmp_path):
    out = tmp_path / "classifier.pt2"
    code, printed, error = command("export", trained.weights, out, "--ema")
    assert code == 0, error
    assert "logits agree within" in printed
    assert [path.name for path in tmp_path.iterdir()] == [out.name], "no temporary file is left"

    clips, expected = [], []
    for i in range(3):
        # Full-length clips at the classifier's rate, far from the level that it was trained at.
        samples = np.random.default_rng(i).uniform(-0.1, 0.1, 2000) * 10.0**-i
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, samples, 8000, subtype="PCM_16")
        clips.append([soundfile.read(path)[0].tolist()])
        expected.append(predict(weights.load(trained.weights, averaged=True), path).probabilities)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(out)],
        input=json.dumps(clips),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    description, all_clips, one_clip = json.loads(done.stdout)
    assert description["classes"] == ["low", "middle", "high"]
    assert (description["sample_rate"], description["seconds"]) == (8000, 0.25)
    assert description["trial_id"] == trained.trial_id
    np.testing.assert_allclose(all_clips, expected, atol=1e-5)
    np.testing.assert_allclose(one_clip, expected[:1], atol=1e-5)


def test_a_file_that_disagrees_is_not_written(trained, command, tmp_path, monkeypatch):
    out = tmp_path / "classifier.pt2"
    out.write_bytes(b"the old one")
    monkeypatch.setattr(export_module, "_serialise", lambda *_: b"")
    for difference in (2e-4, float("nan")):
        monkeypatch.setattr(export_module, "_largest_difference", lambda *_, found=difference: found)
        code, _, err = command("export", trained.weights, out)
        assert code == 2
        assert f"{out}: not written, its logits differ by" in err
        assert out.read_bytes() == b"the old one"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("classifier.onnx", "the name must end in .pt2"), ("nowhere/classifier.pt2", "No such file or directory")],
)
def test_a_place_that_will_not_do_is_told(trained, command, tmp_path, monkeypatch, name, reason):
    monkeypatch.setattr(export_module, "_serialise", lambda *_: b"")
    monkeypatch.setattr(export_module, "_largest_difference", lambda *_: 0.0)
    code, _, err = command("export", trained.weights, tmp_path / name)
    assert code == 2
    (line,) = err.splitlines()
    assert str(tmp_path / name) in line
    assert reason in line
    assert list(tmp_path.iterdir()) == []
