"""Answers the first items of an evaluation set with the reference classes, to compare with Sotto's answers.

  python agree.py --model EXPORTED_FOLDER --set FOLDER --answers FILE [--limit 100]

FILE is what `sotto-cli evaluate EXPORTED_FOLDER FOLDER --answers FILE` wrote. Both read the same unquantised weights in f32
and write greedily, so every answer should be equal; those that are not are printed.
"""

import argparse
import json
import sys
from pathlib import Path

import soundfile
import torch
from PIL import Image
from transformers import AutoProcessor, Gemma3nForConditionalGeneration

from model import TEXT_IDS, VOCABULARY


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=100)
    options = parser.parse_args()
    processor = AutoProcessor.from_pretrained(options.model)
    model = Gemma3nForConditionalGeneration.from_pretrained(options.model, attn_implementation="eager", dtype=torch.float32).eval()
    lines = [json.loads(line) for line in options.answers.read_text(encoding="utf-8").splitlines()]
    ours = {line["id"]: line["answer"] for line in lines}
    items = [json.loads(line) for line in (options.set / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    items = [item for item in items if item["id"] in ours]
    chosen = items[:: max(1, len(items) // options.limit)][: options.limit]
    differing = 0
    for item in chosen:
        theirs = answer(processor, model, options.set, item)
        if theirs.strip() != ours[item["id"]].strip():
            differing += 1
            print(f"{item['id']}: reference {theirs!r}, Sotto {ours[item['id']]!r}")
    print(f"{len(chosen) - differing} of {len(chosen)} answers equal")
    return differing > 0


@torch.no_grad()
def answer(processor, model, folder, item):
    content, pictures, sounds = [], [], []
    for part in item["parts"]:
        if "audio" in part:
            content.append({"type": "audio"})
            sounds.append(soundfile.read(folder / part["audio"], dtype="float32")[0])
        elif "image" in part:
            content.append({"type": "image"})
            pictures.append(Image.open(folder / part["image"]))
        else:
            content.append({"type": "text", "text": part["text"]})
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
    inputs = processor(text=text, images=pictures or None, audio=sounds or None, return_tensors="pt", add_special_tokens=False)
    written = model.generate(**inputs, max_new_tokens=96, do_sample=False, suppress_tokens=list(range(TEXT_IDS, VOCABULARY)))
    return processor.tokenizer.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


if __name__ == "__main__":
    sys.exit(main())
