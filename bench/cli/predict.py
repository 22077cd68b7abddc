"""``bench predict``: a saved model predicts perturbations for the control cells of a new file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.cli.flags import Parser
from bench.cli.output import check_formats, format_flags, print_table, tell
from bench.core.text import escaped


def predict(argv: Sequence[str]) -> int:
    """``bench predict``."""
    parser = Parser(
        prog="bench predict",
        description="Predict perturbations from the control cells of a file, by a model that 'bench run --save' kept.",
    )
    parser.add_argument("model", metavar="RUN_ID|FOLDER", help="id of a run with a saved model, or a model's folder")
    parser.add_argument("--data", required=True, help="file whose control cells are used: .h5ad, a card, or a name")
    parser.add_argument("--conditions", required=True, help="what to predict: KLF1,SET,SET+KLF1")
    parser.add_argument("--out", type=Path, default=Path("pred.h5ad"), help="h5ad file that gets the predictions")
    parser.add_argument("--means", action="store_true", help="one row per condition and context, not per control cell")
    parser.add_argument("--cells", type=int, default=256, help="control cells of a context that are used, at most")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs")
    format_flags(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    check_formats(vars(options))
    from bench.core.console import note
    from bench.runner import home

    model = home.load_model(options.model, options.runs)
    predicted = model.predict(options.data, options.conditions, means=options.means, max_cells=options.cells)
    home.write(predicted, options.out)
    if new := home.said_of(model, model.names(options.conditions)):
        note(new)
    table = home.summary(predicted)
    if not print_table(lambda: table, vars(options)):
        print(escaped(table.to_string(index=False, float_format="%.3f")))
        tell(options.out)
    else:
        note(str(options.out))
    return 0
