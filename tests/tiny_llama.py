"""A random Llama whose whole vocabulary is a few letters, so that it says words by chance."""

from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tvlens.models.language_model import LanguageModel
from tvlens.prompts import Template, TextFormat

LETTERS = "^abc=;"
WORDS = ("a", "b", "c", "ab", "ba", "cc", "abc", "cab", "bb", "ca")
TEMPLATE = Template(x="{}", separator="=", y="{}", end=";", first="^")


@dataclass(frozen=True)
class TinyLlama:
    """The model of Hugging Face, and ours around it."""

    reference: Any
    model: LanguageModel
    tokenizer: PreTrainedTokenizerFast

    def logits(self, text: str) -> Tensor:
        """The logits of a text by Hugging Face alone, "position d_vocab"."""
        with torch.no_grad():
            return self.reference(torch.tensor([ids(text)])).logits[0]


def ids(text: str) -> list[int]:
    """The tokens of a text: its letters."""
    return [LETTERS.index(letter) for letter in text]


def letter_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with a token for each letter."""
    vocabulary = {letter: index for index, letter in enumerate(LETTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="^"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="^")


def text_format() -> TextFormat:
    """Words of one to three tokens."""
    return TextFormat(WORDS, letter_tokenizer(), TEMPLATE)


def tiny_llama(seed: int = 0) -> TinyLlama:
    """Three blocks, four heads in two groups, float64."""
    from transformer_lens.model_bridge import TransformerBridge

    config = LlamaConfig(
        vocab_size=len(LETTERS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        reference = LlamaForCausalLM(config).eval().double()
    tokenizer = letter_tokenizer()
    bridge = TransformerBridge.boot_transformers(
        "tiny-llama", hf_model=reference, tokenizer=tokenizer, device="cpu"
    )
    return TinyLlama(reference, LanguageModel(bridge).eval(), tokenizer)
