"""The example of the README as a script, where the loader's processes import it anew."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
SMALLER = {
    'MultiTaskModel("resnet50", pretrained=True)': 'MultiTaskModel("resnet10", neck_channels=16)',
    "create_dataloaders(batch_size=4, num_workers=4)": "create_dataloaders(recipe='smoke', batch_size=1, num_workers=1,"
    " steps_per_epoch=1, cache_images=False)",
    'load_model("results/checkpoints/model_best.pt")': "model.eval()",
    "\n    main()": "\n    torch.multiprocessing.set_start_method({method!r})\n    main()",
}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_example_runs_with_loader_processes(smoke, tmp_path, method):
    script = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    for text, smaller in SMALLER.items():
        assert text in script
        script = script.replace(text, smaller.format(method=method))
    path = tmp_path / "example.py"
    path.write_text(script)
    environment = os.environ | dict(OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr
