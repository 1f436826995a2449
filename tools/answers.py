"""Record which test images each run classifies correctly: `python tools/answers.py runs/twins-*`. Needs CIFAR-10.

Adds to lambdalib/assets/right.safetensors: run name -> (10000,) bool, in the order of the test set.
"""

import argparse
from pathlib import Path

from safetensors.torch import load_file, save_file

from lambdalib.training.checkpoint import ASSETS, load_model, read_card
from lambdalib.training.data import load_cifar10, normalize
from lambdalib.training.train import predict

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folders that lambdalib train has written"
    )
    parser.add_argument("--data", metavar="ROOT", help="folder of CIFAR-10")
    options = parser.parse_args()
    full, path = load_cifar10(options.data, "disk"), ASSETS / "right.safetensors"
    right = load_file(path) if path.exists() else {}
    for run in options.runs:
        weights = run / "weights.safetensors"
        right[run.name] = predict(load_model(weights), normalize(full.test_images)).argmax(1) == full.test_labels
        found, recorded = right[run.name].double().mean().item(), read_card(weights)["result"]["test_accuracy"]
        if abs(found - recorded) > 2e-4:  # two images, for another machine's rounding
            raise SystemExit(f"{run} is right on {found:.2%} here, but its record says {recorded:.2%}")
        print(f"{run.name}: {found:.2%}")
    save_file(right, path)
