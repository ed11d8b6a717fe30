"""Small tokenizers in the format of Hugging Face, made here."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

START, END, BEGIN = "<|start|>", "<|end|>", "<|begin|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|start|>' + message['role'] + '\n' + message['content'] + '<|end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
_TEXT = ["the quick brown fox jumps over the lazy dog", "user\nassistant\nsystem\n", "hello world, hello there " * 3]


def byte_level(specials: tuple[str | AddedToken, ...] = (BEGIN, START, END)) -> Tokenizer:
    """Byte-level BPE with some merges, as most models have; a prompt begins with ``BEGIN``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_TEXT, trainer)
    tokenizer.add_special_tokens(list(specials))
    begin = tokenizer.token_to_id(BEGIN)
    if begin is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, begin)]
        )
    return tokenizer


def with_a_space_before_words() -> Tokenizer:
    """A tokenizer that sets a space before the first word of a prompt only, so that parts differ from the whole."""
    tokenizer = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace("Ġ", prepend_scheme="first"), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    return tokenizer


def write_tokenizer(
    folder: Path, tokenizer: Tokenizer | None = None, chat_template: object = CHAT_TEMPLATE, **config: object
) -> Path:
    """Writes the two files, and returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (tokenizer or byte_level()).save(str(folder / "tokenizer.json"))
    fields = {"bos_token": BEGIN, "eos_token": {"content": END}, "chat_template": chat_template, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))
    return folder
