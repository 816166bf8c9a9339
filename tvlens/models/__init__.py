"""Models that tvlens trains."""

from tvlens.models.hooked_transformer import HookedTransformer, ModelConfig, Positions

__all__ = ["HookedTransformer", "ModelConfig", "Positions"]
