"""Let the world model of a run imagine a segment of a real episode, and draw it below the real one.

    source <(./worldsample env)
    python examples/imagine_segment.py runs/pushing-worldsample-seed0 --episode 3 --out imagined.png

With ``--perturb`` it imagines other actions than the real ones: a counterfactual.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from worldsample_bringup.dashboard.imagined import compare, picture
from worldsample_bringup.imagine.run_world_model import load_world_model
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_worldmodel.running.imagined_twin import imagined_twin


def main() -> None:
    """Imagine one segment, write the picture, print the PSNR."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run folder of a method with a world model")
    parser.add_argument("--episode", type=int, default=0)
    parser.add_argument("--step", type=int, default=0, help="where the segment starts (default: 0)")
    parser.add_argument("--perturb", action="store_true", help="perturb the real actions")
    parser.add_argument("--out", type=Path, default=Path("imagined.png"))
    options = parser.parse_args()
    adaptation = load_world_model(RunFolder(options.run))
    twin = imagined_twin(adaptation, options.episode, options.step, perturb=options.perturb)
    psnr = compare(twin.real.images, twin.imagined.images).psnr
    Image.fromarray(picture(twin.real.images, twin.imagined.images, psnr)).save(options.out)
    label = "success" if twin.imagined.success else "no success"
    print(f"{options.out}: {len(twin.imagined)} steps, {twin.psnr.mean():.1f} dB, labelled {label}")


if __name__ == "__main__":
    main()
