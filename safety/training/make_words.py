"""Makes `safety/prompt/data/words.txt`, by which the canonicaliser knows where a word ends.

    python -m safety.training.make_words --data ../shared/data/prompts

The whole English words in the vocabulary of all-MiniLM-L6-v2 (that of BERT uncased, Devlin et al. 2018, Apache-2.0),
which is in order of frequency; after them words of several training prompts, and the words of the rules' terms.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

from safety.prompt.term_files import shipped_terms
from safety.training.encoder import load_encoder
from safety.training.prompt_data import read_prompts

SHORT_RANK_MAX = {2: 2500, 3: 8000}
"""By length: rare pieces of two and three letters are abbreviations and parts of words, not words."""


PROMPTS_MIN = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl")
    options = parser.parse_args()
    prompts = read_prompts(options.data / "train.jsonl")
    seen = Counter(word for prompt in prompts for word in set(re.findall(r"[a-z]{4,}", prompt.text.lower())))
    pieces = sorted(load_encoder().vocabulary().items(), key=lambda piece: piece[1])
    words = [word for word, _ in pieces if word.isascii() and word.isalpha() and len(word) > 1]
    words = [word for rank, word in enumerate(words) if rank < SHORT_RANK_MAX.get(len(word), len(words))]
    words += sorted(word for word, count in seen.items() if count >= PROMPTS_MIN)
    terms = [word for file in shipped_terms() for rule in file.rules for term in rule.terms for word in term.split()]
    words += sorted({word for word in terms if word.isascii() and word.isalpha() and len(word) > max(SHORT_RANK_MAX)})
    path = Path(__file__).parents[1] / "prompt" / "data" / "words.txt"
    path.write_text("\n".join(dict.fromkeys(words)) + "\n", encoding="utf-8")
    print(f"wrote {path.name}: {len(set(words))} words")


if __name__ == "__main__":
    main()
