"""python -m examples.classify RUN IMAGE: print the five likeliest classes."""

import sys
from pathlib import Path

import numpy as np

from examples.deployed import Deployed


def main(run: str, image: str) -> None:
    model = Deployed(Path(run))
    scores = model(model.read(image))[0][0]
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    for label in np.argsort(-shares)[:5]:
        print(f"class {label}: {shares[label]:.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
