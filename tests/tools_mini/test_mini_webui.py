"""The small model in a webui's folder: what the webui reads beside the checkpoint."""

import torch
import yaml
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from lib_lora.models.families.identify import identify
from tools.mini.webui import MODEL, put


def test_transformers_reads_the_text_encoder_from_the_folder_that_the_yaml_names(tmp_path):
    models = tmp_path / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    copy = put(MODEL, models)
    config = yaml.safe_load(copy.with_suffix(".yaml").read_text(encoding="utf-8"))
    folder = config["model"]["params"]["cond_stage_config"]["params"]["version"]
    read = CLIPTextModel.from_pretrained(folder, local_files_only=True).float().eval()
    own = identify(MODEL).load_text(torch.float32, torch.device("cpu")).encoders[0]
    tokens = CLIPTokenizer.from_pretrained(folder, local_files_only=True)("photo of a person", return_tensors="pt")
    with torch.no_grad():
        found, expected = (one(tokens.input_ids).last_hidden_state for one in (read, own))
    torch.testing.assert_close(found, expected)
    assert load_file(copy).keys() == load_file(MODEL).keys()
    assert list(models.rglob("*.safetensors")) == [copy], "a webui would list the others as checkpoints"
