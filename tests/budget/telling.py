"""A teacher for the tests: a linear one that counts its calls in a file, and misbehaves as told.

python telling.py CALLS [pause] [how]
"""

import json
import math
import sys
import time
from pathlib import Path


def answer(x):
    return 1 / (1 + math.exp(-sum(v if i % 2 else -v for i, v in enumerate(x))))


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    calls = Path(sys.argv[1]).open("a")  # noqa: SIM115 - open as long as the program lives
    pause = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    how = sys.argv[3] if len(sys.argv) > 3 else ""
    held = []
    for number, line in enumerate(sys.stdin):
        q = json.loads(line)
        calls.write(str(q["id"]) + "\n")
        calls.flush()
        time.sleep(pause)
        p = answer(q["x"])
        reply = {"id": q["id"], "probabilities": p}
        if how == "hangs" and number == 3:
            time.sleep(60)
        elif how == "dies" and number == 3:
            sys.exit("out of credit")
        elif how == "garbage":
            say("thinking...")
        elif how == "strangers":
            say(json.dumps({"id": "nobody", "probabilities": 0.5}))
            say(json.dumps(reply))
        elif how == "twice":
            say(json.dumps(reply))
            say(json.dumps(reply))
        elif how == "refuses" and number % 4 == 0:
            say(json.dumps({"id": q["id"], "refusal": "I would rather not"}))
        elif how == "malformed" and number % 4 == 0:
            say(json.dumps({"id": q["id"], "probabilities": 1.5}))
        elif how == "errors" and number % 3 == 0:
            say(json.dumps({"id": q["id"], "error": "rate limit"}))
        elif how == "named":
            both = {"no": 1 - p, "yes": p}
            say(json.dumps({"id": q["id"], "probabilities": dict(sorted(both.items(), reverse=number % 2))}))
        elif how == "rounded":
            say(json.dumps({"id": q["id"], "probabilities": round(p, 3)}))
        elif how == "logits":
            say(json.dumps({"id": q["id"], "logits": math.log(p / (1 - p))}))
        elif how == "log":
            say(json.dumps({"id": q["id"], "log_probabilities": math.log(p)}))
        elif how == "near 1":
            say(json.dumps({"id": q["id"], "probabilities": 1 - 1e-14 if number == 3 else p}))
        elif how == "swaps":
            names = ["no", "yes"] if number % 3 == 0 else ["yes", "maybe"]
            say(json.dumps({"id": q["id"], "probabilities": [1 - p, p], "classes": names}))
        elif how == "backwards":  # answers four at a time, the last first
            held.append(json.dumps(reply))
            if len(held) == 4:
                say("\n".join(reversed(held)))
                held = []
        else:
            say(json.dumps(reply))
    for rest in reversed(held):
        say(rest)


if __name__ == "__main__":
    main()
