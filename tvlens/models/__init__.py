"""Models that tvlens trains."""

import lazy_loader

# HookedTransformer stands on TransformerLens, whose import takes longer than PyTorch's.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
