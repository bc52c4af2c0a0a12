"""Cosmos-Predict2.5 through diffusers: off by default, never needed, and not run on a machine without its
weights.

diffusers has the base pipeline (``Cosmos2_5_PredictBasePipeline``: frames and text), not the
action-conditioned one. The actions therefore enter where the text would: an adapter maps them to the prompt
embeddings. The adapter is trained with the pipeline frozen or fine-tuned elsewhere, and comes as
``action_adapter.safetensors`` in the weights' folder, beside the pipeline's own files. Both views share one
video, side by side.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from worldsample_core.observation import ACTION_DIM, PROPRIO_DIM
from worldsample_worldmodel.backends.backend import BackendUnavailable
from worldsample_worldmodel.model.dynamics import Dynamics
from worldsample_worldmodel.model.world_model import Imagined

ADAPTER = "action_adapter.safetensors"


class ActionAdapter(nn.Module):
    """Actions and proprioception to prompt embeddings ``(B, H, E)``, and to the proprioception that
    follows."""

    def __init__(self, embedding: int, hidden: int = 512) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(ACTION_DIM + PROPRIO_DIM, hidden), nn.SiLU(), nn.Linear(hidden, embedding)
        )
        self.dynamics = Dynamics(128, 1, members=1)

    def forward(self, proprio: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """proprio (B, 10), actions (B, H, 7): embeddings (B, H, E) and proprioception (B, H, 10)."""
        nothing = torch.zeros(len(proprio), 2, device=proprio.device)
        following = self.dynamics(nothing, proprio, proprio, actions).mean[0]
        return self.embed(torch.cat([actions, following], -1)), following


class Cosmos:
    """The pipeline and its adapter."""

    def __init__(self, pipeline: Any, adapter: ActionAdapter, height: int = 480, width: int = 960) -> None:
        self.pipeline, self.adapter = pipeline, adapter
        self.height, self.width = height, width

    @classmethod
    def load(cls, weights: Path | None, device: str = "cuda") -> Cosmos:
        """Load from a local folder of weights; nothing is downloaded.

        Raises:
            BackendUnavailable: no accelerator, no diffusers, or incomplete weights.
        """
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise BackendUnavailable(
                "Cosmos needs a CUDA GPU, and torch sees none; use the native world model"
            )
        try:
            diffusers = importlib.import_module("diffusers")
            pipeline_class = diffusers.Cosmos2_5_PredictBasePipeline
        except (ImportError, AttributeError) as error:
            raise BackendUnavailable(
                f"Cosmos needs a diffusers with Cosmos2_5_PredictBasePipeline ({error}): "
                "pip install -U diffusers transformers accelerate"
            ) from error
        if (
            weights is None
            or not (weights / "model_index.json").is_file()
            or not (weights / ADAPTER).is_file()
        ):
            raise BackendUnavailable(
                f"Cosmos needs a folder with its model_index.json and with {ADAPTER}, got {weights}"
            )
        tensors = load_file(weights / ADAPTER)
        adapter = ActionAdapter(tensors["embed.2.weight"].shape[0], tensors["embed.2.weight"].shape[1])
        adapter.load_state_dict(tensors)
        pipeline = pipeline_class.from_pretrained(weights, torch_dtype=torch.bfloat16, local_files_only=True)
        return cls(pipeline.to(device), adapter.to(device).eval())

    @torch.no_grad()
    def imagine(
        self,
        first: NDArray[np.uint8],
        current: NDArray[np.uint8],
        first_proprio: NDArray[np.float32],
        proprio: NDArray[np.float32],
        actions: NDArray[np.float32],
        rng: np.random.Generator | None = None,
    ) -> Imagined:
        """Generate segments one by one; see :meth:`.WorldModel.imagine`.

        The pipeline has no uncertainty of its own: two samples per segment, and how much they differ.
        """
        rng = rng or np.random.default_rng(0)
        device = next(self.adapter.parameters()).device
        embeddings, following = self.adapter(
            torch.from_numpy(proprio).to(device), torch.from_numpy(actions).to(device)
        )
        images, uncertainty = [], []
        for segment in range(len(actions)):
            samples = np.stack([
                self._video(current[segment], embeddings[segment], actions.shape[1], int(rng.integers(2**31)))
                for _ in range(2)
            ])  # fmt: skip
            images.append(samples[0])
            difference = (samples[0].astype(np.float32) - samples[1]) / 255.0
            uncertainty.append(np.sqrt((difference**2).mean((1, 2, 3, 4)) / 2.0))
        return Imagined(
            np.stack(images), following.cpu().numpy(), actions, np.stack(uncertainty).astype(np.float32)
        )

    def _video(
        self, current: NDArray[np.uint8], embedding: torch.Tensor, horizon: int, seed: int
    ) -> NDArray[np.uint8]:
        """One sample: (H, 2, S, S, 3) after the frame (2, S, S, 3)."""
        from PIL import Image  # comes with diffusers

        side = current.shape[1]
        start = Image.fromarray(np.concatenate(list(current), 1)).resize((self.width, self.height))
        frames = self.pipeline(
            image=start,
            prompt_embeds=embedding[None].to(torch.bfloat16),
            height=self.height,
            width=self.width,
            num_frames=1 + 4 * -(-horizon // 4),  # its video tokenizer packs four frames
            guidance_scale=1.0,
            output_type="pil",
            generator=torch.Generator(embedding.device).manual_seed(seed),
        ).frames[0]
        small = np.stack([np.asarray(frame.resize((2 * side, side))) for frame in frames[1 : horizon + 1]])
        return np.stack([small[:, :, :side], small[:, :, side:]], 1)
