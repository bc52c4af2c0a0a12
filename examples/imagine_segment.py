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
from worldsample_bringup.run.run_folder import RunFolder
from worldsample_core.config import from_mapping
from worldsample_core.episodes.episode_bag import read_transitions
from worldsample_core.episodes.episode_store import find_bags
from worldsample_worldmodel.data.episodes import episode_from_transitions
from worldsample_worldmodel.running.imagined_twin import imagined_twin
from worldsample_worldmodel.training.adaptation import Adaptation
from worldsample_worldmodel.worldmodel_config import WorldModelNodeConfig


def load_world_model(run: RunFolder) -> Adaptation:
    """The newest world model of a run, with the run's real episodes in its memory."""
    settings = run.settings()
    config = from_mapping(WorldModelNodeConfig, settings.worldmodel, "worldmodel")
    adaptation = Adaptation(settings.task, config.model, config.reward)
    for bag in find_bags(run.path):
        adaptation.add(episode_from_transitions(read_transitions(bag)))
    files = (run.path / "worldmodel").glob("step_*.safetensors")
    adaptation.load(max(files, key=lambda file: int(file.stem.removeprefix("step_"))))
    return adaptation


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
