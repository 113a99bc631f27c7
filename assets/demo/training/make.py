"""Makes the demo model from nothing: speech, tokenizer, the stages of training, and the exported folder.

  python make.py --work FOLDER --digits FOLDER [--hours 1.0]

Every part that is there already is kept, so that a run that was stopped goes on where it was. Two processes run side by
side; `--hours` scales the length of every stage.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from model import train_tokenizer

HERE = Path(__file__).parent
SHARDS = 24  # of a thousand clips
# CPU minutes of each process.
EAR, EYE, TEXT, LISTEN, JOINT, NOTES = 32, 45, 20, 80, 70, 30


def start(script, *arguments, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen([sys.executable, str(HERE / script), *map(str, arguments)], env=environment)


def finish(*running):
    for process in running:
        if process.wait() != 0:
            sys.exit(f"{' '.join(process.args[1:])} stopped with status {process.returncode}; call this again to go on")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--digits", type=Path, required=True, help="folder of the Free Spoken Digit Dataset's recordings")
    parser.add_argument("--hours", type=float, default=1.0, help="scales the length of training; 1.0 is about three hours on two cores")
    options = parser.parse_args()
    clips = options.work / "clips"
    clips.mkdir(parents=True, exist_ok=True)

    def stage(name, minutes, *more, **environment):
        return start("train.py", name, "--work", options.work, "--digits", options.digits, "--minutes", minutes * options.hours, *more, **environment)

    def speak(side, number, count):
        out = clips / f"{side}-{number}"
        if not out.with_suffix(".json").exists():
            finish(start("speech.py", side, "--clips", count, "--seed", number, "--out", out))

    if not (options.work / "tokenizer.json").exists():
        train_tokenizer(options.work / "tokenizer.json")
    for side in ("voice", "engine"):  # for a look on the way; the sets of the card are others
        speak(side, 1, 60)
    for number in range(1, SHARDS + 1):
        speak("train", number, 1000)
    ear, text = stage("ear", EAR, "--seconds", 6), stage("text", TEXT)
    finish(text)
    eye = stage("eye", EYE, "--batch", 24)
    finish(ear)
    finish(stage("listen", LISTEN, "--from", "ear", "text"), eye)
    finish(*(stage("joint", JOINT, "--from", "listen", "eye", WORLD="2", RANK=rank) for rank in "01"))
    finish(*(stage("notes", NOTES, "--from", "joint", "--decay", 0.6, WORLD="2", RANK=rank) for rank in "01"))
    finish(start("export.py", "--work", options.work, "--out", options.work / "export"))


if __name__ == "__main__":
    main()
