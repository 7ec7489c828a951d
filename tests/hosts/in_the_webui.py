"""Run by the webui's own Python in its own folder: its captioners, with models of random numbers in place of files.

The models are of the webui's own classes (BLIP with a narrow text side); only what reads the files is replaced.
Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

scratch = Path(sys.argv.pop())  # the webui reads the other arguments

from modules import initialize  # noqa: E402
from PIL import Image  # noqa: E402

initialize.imports()

import torch  # noqa: E402
import transformers  # noqa: E402
from modules import deepbooru, deepbooru_model, paths, shared  # noqa: E402

from lib_lora.hosts.webuis import webui_captioners  # noqa: E402
from lib_lora.hosts.webuis.webui_captioners import BLIP, TAGS, webui_captioner  # noqa: E402

shared.interrogator.create_fake_fairscale()
import models.blip  # noqa: E402

said = {one.name: one.why for one in webui_captioners.offered()}

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of", "woman", "wearing", "red", "coat", "hat"]
(scratch / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
narrow = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
config = json.loads((Path(models.blip.__file__).parents[1] / "configs" / "med_config.json").read_text())
(scratch / "med.json").write_text(json.dumps({**config, **narrow, "vocab_size": len(words) + 2}))


def tokenizer():
    made = transformers.BertTokenizer(str(scratch / "vocab.txt"))
    made.add_special_tokens({"bos_token": "[DEC]"})
    made.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    made.enc_token_id = made.additional_special_tokens_ids[0]
    return made


def load_blip_model():
    models.blip.init_tokenizer = tokenizer
    torch.manual_seed(1)
    return models.blip.blip_decoder(image_size=384, vit="base", med_config=str(scratch / "med.json")).eval()


def load_tagger():
    torch.manual_seed(1)
    deepbooru.model.model = deepbooru_model.DeepDanbooruModel().eval()
    deepbooru.model.model.tags = ["1girl", "red_coat", "brown_eyes", "hat_(red)", "rating:safe"]


shared.interrogator.load_blip_model = load_blip_model
deepbooru.model.load = load_tagger
shared.opts.data["interrogate_deepbooru_score_threshold"] = 0.0
image = Image.linear_gradient("L").resize((200, 300)).convert("RGB")
paths.models_path = str(scratch)  # nothing is read from there: what reads the files is replaced
for place in ("BLIP/some.pth", "torch_deepdanbooru/some.pt"):
    (scratch / place).parent.mkdir(parents=True, exist_ok=True)
    (scratch / place).write_bytes(b"weights")
webui_captioners._words_there = lambda: True
blip, tags = webui_captioner(BLIP), webui_captioner(TAGS)
said["sentence"], said["again"] = blip.sentence(image), blip.sentence(image)
said["phrases"] = blip.phrases(image)
said["tags"] = tags.phrases(image)
said["clip"] = shared.interrogator.clip_model is not None
print(json.dumps(said))
