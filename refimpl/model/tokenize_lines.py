"""Tokenise strings with a model file: `python -m refimpl.model.tokenize_lines MODEL < strings.jsonl`.

Each line in is a JSON string, each line out the JSON list of its token ids, without begin and end tokens and with
spelled-out control tokens recognised. For scripts and for comparisons with other programs, which share no code with
this one.
"""

import json
import sys

from refimpl.errors import ModelError
from refimpl.model.gguf_file import read_metadata
from refimpl.model.tokenizer import Tokenizer

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """0, or 2 after one line on stderr if the model file cannot be used."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        print("usage: python -m refimpl.model.tokenize_lines MODEL < strings.jsonl", file=sys.stderr)
        return 2
    try:
        tokenizer = Tokenizer.from_metadata(read_metadata(arguments[0]), arguments[0])
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    for line in sys.stdin:
        print(json.dumps(tokenizer.encode(json.loads(line), add_special=False)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
