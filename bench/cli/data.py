"""``bench data``: check, card, fetch, split, export, features, list."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.cli.flags import Parser, split_kind
from bench.cli.output import tell, tell_text
from bench.core.errors import BenchError, unknown
from bench.core.text import message

_CARD_NOTES = r"""What a card leaves out is guessed from the file and printed; null = the file has no such column.
Patterns are those of a shell: NTC-* is every label that begins with NTC-. An example, of a screen with guide numbers:

  source: screen.h5ad
  layer: counts
  columns: {condition: guide_id, context: cell_line, batch: null}
  control: [non-targeting, NTC-*]
  role: {column: strategy, value: control}
  separator: none
  strip: '-\d+'
  drop: [ambiguous, unassigned*]
  expression: counts"""


def data(argv: Sequence[str]) -> int:
    """``bench data``."""
    parser = Parser(prog="bench data", description="Look at data: check, card, fetch, split, export, features, list.")
    verbs = parser.add_subparsers(
        dest="verb", required=True, parser_class=Parser, metavar="{check,card,fetch,split,export,features,list}"
    )
    check = verbs.add_parser("check", help="print what a file or data set holds, and every problem")
    check.add_argument("name", metavar="FILE|NAME")
    card = verbs.add_parser("card", help="print a first card for a file, as YAML; --help lists all fields")
    if list(argv[:1]) == ["card"] and {"-h", "--help"} & set(argv):
        from bench.data.cards import describe_fields

        card.formatter_class = argparse.RawDescriptionHelpFormatter
        card.epilog = f"fields of a card, of which 'source' must be there:\n{describe_fields()}\n\n{_CARD_NOTES}"
    card.add_argument("file", metavar="FILE", type=Path)
    fetch = verbs.add_parser("fetch", help="download a data set that has a card, and check it")
    fetch.add_argument("name", metavar="NAME", help="a shipped name, or a card's file")
    fetch.add_argument("--to", type=Path, default=None, metavar="FOLDER", help="default: $BENCH_DATA")
    fetch.add_argument("--force", action="store_true", help="fetch it anew if it is there")
    fetch.add_argument(
        "--from", type=Path, default=None, dest="given", metavar="FILE", help="what a browser downloaded from its url"
    )
    split = verbs.add_parser("split", help="print a split")
    split.add_argument("name", metavar="NAME")
    split.add_argument("--split", default=None)
    split.add_argument("--split-file", type=Path, default=None)
    split.add_argument("--seed", type=int, default=1)
    split.add_argument("--control-fold", type=int, default=0)
    split.add_argument("--json", action="store_true", help="the only form there is; kept for clarity")
    export = verbs.add_parser(
        "export", help="write what a model may see of a task: train and val cells, input controls"
    )
    export.add_argument("name", metavar="NAME")
    export.add_argument("out", metavar="OUT", type=Path, help="folder for train.h5ad and split.json")
    export.add_argument("--split", default=None)
    export.add_argument("--split-file", type=Path, default=None)
    export.add_argument("--seed", type=int, default=1)
    export.add_argument("--control-fold", type=int, default=0)
    export.add_argument(
        "--all",
        action="store_true",
        dest="cells",
        help="also write cells.h5ad: every cell without its label, for an encoder of yours to embed",
    )
    features = verbs.add_parser(
        "features", help="print which perturbed genes have features; --from makes a features file"
    )
    features.add_argument("name", metavar="NAME")
    features.add_argument(
        "--features",
        metavar="SPEC",
        default="card",
        help="card (default: what the card names), pca, coexpression, pairs:FILE, FILE.parquet, .csv or .npz, "
        "view_a, view_b; several joined by +",
    )
    features.add_argument(
        "--from",
        default=None,
        dest="source",
        metavar="SOURCE",
        help="make a features file: string (pairs of genes with a score), go (GO annotations: GAF, or GEARS' gene2go), "
        "table (numbers per gene, or pairs with weights)",
    )
    features.add_argument("--file", default=None, metavar="FILE", help="what --from reads: a file or an address")
    features.add_argument("--out", type=Path, default=Path("features.parquet"), help="the features file")
    features.add_argument("--info", default=None, metavar="FILE", help="STRING's protein.info, which names proteins")
    features.add_argument("--obo", default=None, metavar="FILE", help="ontology (.obo): terms bring their ancestors")
    features.add_argument("--min-score", type=float, default=0.4, help="smallest score of a pair, 0 to 1")
    features.add_argument("--width", type=int, default=None, help="features (default: 32 of a graph, all of a table)")
    features.add_argument("--split", default=None)
    features.add_argument("--split-file", type=Path, default=None)
    features.add_argument("--seed", type=int, default=1)
    features.add_argument("--control-fold", type=int, default=0)
    verbs.add_parser("list", help="the data sets that have a card")
    for each in (check, card, fetch, split, export, features):
        each.add_argument("--debug", action="store_true", help="show tracebacks")
    if argv and not argv[0].startswith("-") and argv[0] not in verbs.choices:
        raise unknown("data verb", argv[0], verbs.choices)
    options = parser.parse_args(argv)
    if options.verb == "list":
        from bench.data import cards

        for name in cards.names():
            tell(f"{name:<26}  {cards.find_card(name).description}")
        return 0
    if options.verb == "card":
        from bench.data.guess import guess_file, to_yaml

        guess = guess_file(options.file)
        tell_text("".join(f"# {message(remark)}\n" for remark in guess.remarks) + to_yaml(guess.card))
        return 0
    if options.verb == "fetch":
        from bench.data.fetch.fetch import fetch_and_check

        for line in fetch_and_check(options.name, options.to, options.force, options.given):
            tell(line)
        return 0
    if options.verb == "split":
        from bench.data.describe import describe_split

        kind = split_kind(options.split, options.split_file)
        print(describe_split(options.name, kind, options.seed, options.control_fold, options.split_file))
        return 0
    if options.verb == "export":
        from bench.runner.export import export_task

        kind = split_kind(options.split, options.split_file)
        task = kind, options.seed, options.control_fold, options.split_file
        for path in export_task(options.name, *task, options.out, options.cells):
            tell(path)
        return 0
    if options.verb == "features" and (options.source or options.file):
        for line in _make_features(options):
            print(line)
        return 0
    if options.verb == "features":
        from bench.data.coverage import describe_features

        kind = split_kind(options.split, options.split_file)
        task = kind, options.seed, options.control_fold, options.split_file
        for line in describe_features(options.name, options.features, *task):
            tell(line)
        return 0
    from bench.data.describe import describe

    for line in describe(options.name):
        tell(line)
    return 0


def _make_features(options: argparse.Namespace) -> Iterator[str]:
    """``bench data features NAME --from``."""
    if options.file is None or options.source is None:
        raise BenchError("--from and --file go together: bench data features NAME --from string|go|table --file FILE.")
    from bench.data.features.make.build import build

    more = {"info": options.info, "obo": options.obo, "least": options.min_score, "width": options.width}
    return build(options.name, options.source, options.file, options.out, **more)
