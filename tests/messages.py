"""Short texts for tests of students of words."""

WORDS = [
    "invoice refund please",
    "refund now",
    "hello friend",
    "meeting at noon",
    "invoice due",
    "hello again",
]


def messages(n):
    """n of them, two pieces each; those numbered 0, 1 and 4 modulo 6 begin with money."""
    return [f"{WORDS[i % 6]} {WORDS[(i * 7 + 1) % 6]}" for i in range(n)]
