from .config import ModelConfig as ModelConfig
from .config import Positions as Positions
from .hooked_transformer import HookedTransformer as HookedTransformer
from .linear_config import AttentionWeights as AttentionWeights
from .linear_config import DropoutKind as DropoutKind
from .linear_config import LinearConfig as LinearConfig
from .linear_config import TokenDropout as TokenDropout
from .linear_transformer import LinearTransformer as LinearTransformer
