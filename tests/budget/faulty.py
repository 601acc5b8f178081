"""A teacher with faults drawn at random, for the tests: python faulty.py SEEN SEED FAULTS

Notes the id of each question it reads in the file SEEN, then does one of the FAULTS, letters of `FAULTS` below.
"""

import json
import random
import sys
import time
from pathlib import Path

FAULTS = {
    "a": "answers",
    "e": "an error",
    "E": "two errors at once",
    "m": "malformed",
    "M": "malformed, then the answer",
    "r": "refuses",
    "R": "an error, then the answer",
    "t": "answers twice, differently",
    "s": "answers questions it was not asked yet",
    "g": "garbage, then the answer",
    "d": "dies without an answer",
    "D": "answers and dies",
    "k": "keeps the answer until the next question",
    "n": "half a character in a class name, or in an error",
    "p": "another number of decimals",
}


def say(name, **fields):
    sys.stdout.write(json.dumps({"id": name, **fields}) + "\n")
    sys.stdout.flush()


def main():
    seen, seed, faults = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    begun = len(seen.read_text().split()) if seen.exists() else 0
    rng = random.Random(1000 * seed + begun)
    held = []
    for line in sys.stdin:
        name = json.loads(line)["id"]
        with seen.open("a") as file:
            file.write(name + "\n")
        for other in held:
            say(other, probabilities=0.75)
        held = []
        fault, p = rng.choice(faults), round(rng.random(), 2)
        time.sleep(rng.choice([0, 0, 0.002]))
        for step in {"E": "ee", "M": "ma", "R": "ea", "t": "aA", "g": "ga", "D": "ad"}.get(fault, fault):
            if step == "a":
                say(name, probabilities=p)
            elif step == "A":
                say(name, probabilities=round(1 - p, 2))
            elif step == "p":
                say(name, probabilities=round(p + 0.00123, 5) if p < 0.9 else 0.9)
            elif step == "e":
                say(name, error="later")
            elif step == "m":
                say(name, probabilities=rng.choice([1.5, "x", [], {"a": 0.5}, [0.2, 0.8, 0.1], 10**400]))
            elif step == "r":
                say(name, refusal="no")
            elif step == "s":
                for other in range(1, 41):
                    say(str(other), probabilities=0.5)
            elif step == "g":
                sys.stdout.write("thinking\n")
                sys.stdout.flush()
            elif step == "k":
                held.append(name)
            elif step == "n":
                say(name, **rng.choice([{"error": "\ud800"}, {"probabilities": {"\udfff": 0.5, "b": 0.5}}]))
            elif step == "d":
                sys.exit("gone")
    for other in held:
        say(other, probabilities=0.75)


if __name__ == "__main__":
    main()
