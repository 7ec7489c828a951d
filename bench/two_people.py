"""Two people in one LoRA, on the small base model: does each trigger word paint its own person?

    python bench/two_people.py --work DIR
    python bench/two_people.py --work DIR --pairs mara+tomas --base FILE --side 512

The second person's photos are given as the folder of class pictures (`class_photos`), each with a caption that has
that person's trigger word; so both are trained alike. With each LoRA 20 pictures of each of the two are painted, and
ten of the class words alone, and all are compared with the photos of both that were held out. The small base model
paints one face in a picture; with a larger one (`--base`), ten pictures are asked for both together, and the faces in
each are told apart. DIR can be that of `bench.quality`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import quality, results_file  # noqa: E402
from bench import quality_people as people  # noqa: E402
from bench import quality_pictures as pictures  # noqa: E402
from bench.quality_people import CLASS_WORDS, Material  # noqa: E402
from bench.quality_pictures import Question, mean  # noqa: E402
from lib_lora.character import caption_files  # noqa: E402
from lib_lora.character.photo_files import list_photos  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.files import write_text  # noqa: E402
from lib_lora.models.families.sd1 import NARROW  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402

PAIRS = ("mara+tomas", "ines+mara", "unseen1+unseen2")
PICTURES, WITHOUT, SAMPLING = 20, 10, 8
VARIANTS: dict[str, Mapping[str, Any]] = {"together": {}, "together, preserved": quality.PRESERVE["w1s25"]}
