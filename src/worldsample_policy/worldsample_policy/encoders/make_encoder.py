"""The encoder that the configuration names."""

from __future__ import annotations

from worldsample_policy.encoders.efficientnet import EfficientNetEncoder
from worldsample_policy.encoders.frozen_encoder import VIEWS, Encoder, PassThrough, RandomEncoder
from worldsample_policy.encoders.tokenizer import Tokenizer
from worldsample_policy.learner_config import LearnerConfig


def make_encoder(config: LearnerConfig, views: int = VIEWS) -> Encoder:
    """The frozen encoder that `config.encoder` names."""
    if config.encoder == "random":
        return RandomEncoder(config, views)
    if config.encoder == "autoencoder":
        return Tokenizer(config, views)
    if config.encoder == "efficientnet_lite0":
        return EfficientNetEncoder(config, views)
    return PassThrough(config, views)
