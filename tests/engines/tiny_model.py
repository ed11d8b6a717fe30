"""Writes a tiny Llama and LoRA adapters for it, as folders that vLLM serves in place of a model from a hub.

The base model has no weights file: vLLM's `--load-format dummy` makes random ones. One printable ASCII character
is one token, and each token a character, so that the length of a prompt is its number of tokens (plus one for
the token that begins it) and each generated token is a chunk of text.
"""

import json
import random
import string
from array import array
from dataclasses import dataclass
from pathlib import Path

_SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
_BEGIN, _END = 1, 2
# Byte-level tokenizers write the two bytes that are no printable character as these letters.
_SPACE, _NEWLINE = "\u0120", "\u010a"
_CHARACTERS = (*string.digits, *string.ascii_letters, *string.punctuation, _SPACE, _NEWLINE)
_VOCABULARY = {token: number for number, token in enumerate((*_SPECIALS, *_CHARACTERS))}

_HEAD_SIZE = 32
_RANK = 8

_CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@dataclass(frozen=True)
class ModelSize:
    """Layers, and attention heads of 32 numbers each."""

    layers: int = 2
    heads: int = 2
    kv_heads: int = 1

    @property
    def hidden(self) -> int:
        return self.heads * _HEAD_SIZE


TINY = ModelSize()
"""Costs next to nothing beside what each request and each step takes."""

SMALL = ModelSize(layers=6, heads=8, kv_heads=2)
"""A thousand tokens of a prompt take a tenth of a second or so on one core: their number is felt."""


def token_ids(text: str) -> list[int]:
    """The tokens that the model's tokenizer makes of printable ASCII."""
    return [_BEGIN, *(_VOCABULARY[_SPACE if character == " " else character] for character in text)]


def write_model(folder: Path, size: ModelSize = TINY) -> None:
    """Makes `folder` a Hugging Face model folder without weights."""
    folder.mkdir(parents=True)
    _write(folder / "config.json", _model(size))
    _write(folder / "generation_config.json", {"bos_token_id": _BEGIN, "eos_token_id": _END, "pad_token_id": 0})
    _write(folder / "tokenizer.json", _tokenizer())
    _write(folder / "tokenizer_config.json", _TOKENIZER_CONFIG)


def write_adapter(folder: Path, seed: int) -> None:
    """Makes `folder` a LoRA adapter of the tiny model, with random weights."""
    folder.mkdir(parents=True)
    _write(folder / "adapter_config.json", _ADAPTER)
    (folder / "adapter_model.safetensors").write_bytes(_safetensors(_adapter_shapes(), random.Random(seed)))


_TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "model_max_length": 8192,
    "chat_template": _CHAT_TEMPLATE,
}

_ADAPTER = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "tiny",
    "bias": "none",
    "inference_mode": True,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "r": _RANK,
    "target_modules": ["q_proj", "v_proj"],
}


def _model(size: ModelSize) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "bos_token_id": _BEGIN,
        "eos_token_id": _END,
        "head_dim": _HEAD_SIZE,
        "hidden_act": "silu",
        "hidden_size": size.hidden,
        "intermediate_size": 2 * size.hidden,
        "max_position_embeddings": 8192,
        "num_attention_heads": size.heads,
        "num_hidden_layers": size.layers,
        "num_key_value_heads": size.kv_heads,
        "pad_token_id": 0,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": len(_VOCABULARY),
    }


def _tokenizer() -> dict[str, object]:
    """A byte-level BPE tokenizer without merges: each character stays alone."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "added_tokens": [_special(number, token) for number, token in enumerate(_SPECIALS)],
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [_BEGIN], "tokens": ["<s>"]}},
        },
        "decoder": byte_level,
        "model": {"type": "BPE", "unk_token": "<unk>", "vocab": _VOCABULARY, "merges": []},
    }


def _special(number: int, token: str) -> dict[str, object]:
    sides = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": token, "special": True, **sides}


def _adapter_shapes() -> dict[str, tuple[int, int]]:
    outputs = {"q_proj": TINY.hidden, "v_proj": TINY.kv_heads * _HEAD_SIZE}
    shapes: dict[str, tuple[int, int]] = {}
    for layer in range(TINY.layers):
        for projection, width in outputs.items():
            name = f"base_model.model.model.layers.{layer}.self_attn.{projection}"
            shapes[f"{name}.lora_A.weight"] = (_RANK, TINY.hidden)
            shapes[f"{name}.lora_B.weight"] = (width, _RANK)
    return shapes


def _safetensors(shapes: dict[str, tuple[int, int]], rng: random.Random) -> bytes:
    """Random 32-bit tensors in the safetensors format: the header's length, the header as JSON, the numbers."""
    header: dict[str, object] = {}
    numbers = array("f")
    for name, (rows, columns) in shapes.items():
        begin = numbers.itemsize * len(numbers)
        numbers.extend(rng.gauss(0, 0.5) for _ in range(rows * columns))
        offsets = [begin, numbers.itemsize * len(numbers)]
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": offsets}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % numbers.itemsize)
    return len(encoded).to_bytes(8, "little") + encoded + numbers.tobytes()


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1))
