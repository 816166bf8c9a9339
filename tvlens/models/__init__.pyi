from .config import ModelConfig as ModelConfig
from .config import Positions as Positions
from .hooked_transformer import HookedTransformer as HookedTransformer
