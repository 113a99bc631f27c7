"""Writes a stage's checkpoint as an ordinary Hugging Face folder in bf16, which `sotto-cli import` turns into a package.

  python export.py --work FOLDER --out FOLDER [--stage notes]
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from model import STOPS, config, matformer, processor


def export(work, stage, out):
    """-> the SHA-256 of the written weights."""
    out.mkdir(parents=True, exist_ok=True)
    weights = torch.load(work / f"{stage}.pt")["model"]
    path = out / "model.safetensors"
    save_file({name: w.to(torch.bfloat16).contiguous() for name, w in weights.items()}, str(path), metadata={"format": "pt"})
    tools = processor(work / "tokenizer.json")
    tools.save_pretrained(out)
    preprocessing = {**json.loads(tools.feature_extractor.to_json_string()), **json.loads(tools.image_processor.to_json_string())}
    generation = {"bos_token_id": 2, "eos_token_id": list(STOPS), "pad_token_id": 0, "do_sample": False}
    for name, content in (("config.json", {**config(), "torch_dtype": "bfloat16"}), ("generation_config.json", generation),
                          ("preprocessor_config.json", preprocessing), ("matformer.json", matformer())):
        (out / name).write_text(json.dumps(content, indent=1, sort_keys=True, default=float) + "\n", encoding="utf-8")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stage", default="notes")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    print("sha256 of model.safetensors:", export(options.work, options.stage, options.out))


if __name__ == "__main__":
    sys.exit(main())
