"""The commands and their options. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pellucid import __version__
from pellucid.cli._failures import ModelFailure, Refusal, printable


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pellucid")
def main() -> None:
    """Explain what a PyTorch model bases its predictions on.

    For example: pellucid explain package.module:factory images/ --method integrated_gradients --out report/
    """


@main.command("methods")
def list_methods() -> None:
    """List the methods with one line each."""
    import pellucid  # noqa: PLC0415  (it imports torch)

    infos = pellucid.methods()
    width = max(len(info.name) for info in infos)
    for info in infos:
        summary = printable(info.summary.replace("``", ""))
        click.echo(f"{info.name:<{width}}  {summary}")


@main.command("metrics")
def list_metrics() -> None:
    """List the metrics with their better direction, their range and one line each."""
    from pellucid.metrics import METRICS  # noqa: PLC0415  (it imports torch)

    width = max(len(name) for name in METRICS)
    for name, info in METRICS.items():
        click.echo(printable(f"{name:<{width}}").ljust(width) + f"  {info.arrow} {info.range:<9}  {info.summary}")


def _given(*options: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command several options, in this order."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_HOW: tuple[Callable[..., Any], ...] = (
    click.option("--target", default="predicted", show_default=True, metavar="INDEX|predicted|label",
                 help="The explained output: a class, the predicted class, or the true one."),
    click.option("--baseline", metavar="NUMBER|FILE",
                 help="What the prediction is compared with, in the units of the model's input; a file is read like "
                 "DATA and holds one row, or one per example.  [default: zeros; for texts, padding]"),
    click.option("--baselines", metavar="FILE", help="Rows to draw baselines from, for methods such as gradient_shap."),
    click.option("--n-steps", metavar="N|auto", help="Steps of the integral; auto adds steps until it has converged."),
    click.option("--set", "settings", multiple=True, metavar="[METHOD.]KEY=VALUE",
                 help="Any other argument of the methods, or of one; may be repeated."),
    click.option("--examples", metavar="N|LIST|all",
                 help="The first N, positions like 0,4,10-12, or all.  [default: 16]"),
    click.option("--batch-size", type=click.IntRange(1), metavar="N",
                 help="Examples explained at a time.  [default: all]"),
    click.option("--seed", type=int, help="Makes methods that draw random samples repeatable."),
    click.option("--progress/--no-progress", default=None, help="Show progress.  [default: on a terminal]"),
    click.option("--open", "open_report", is_flag=True, help="Open the report in the browser."),
)  # fmt: skip
"""Options that say how something is explained in a report."""
_WHAT: tuple[Callable[..., Any], ...] = (
    click.option("--classes", metavar="FILE|LIST",
                 help="Class names: a file with one per line, or names between commas."),
    click.option("--label", metavar="NAME|FILE",
                 help="True labels: a column of a table, a tensor of .safetensors, or a .npy beside a .npy."),
    click.option("--size", metavar="HxW", help="Scale images to this height and width."),
    click.option("--grayscale", is_flag=True, help="Read images with one channel."),
    click.option("--mean", metavar="NUMBERS",
                 help="Subtracted from images (values 0 to 1): one number, or one per channel."),
    click.option("--std", metavar="NUMBERS", help="Images are divided by this after the mean."),
    click.option("--trust", is_flag=True,
                 help="Load a model file that could run code. Only for files you made yourself."),
    click.option("--traceback", "full", is_flag=True, help="Show where an error came from."),
)  # fmt: skip
"""Options that say what is explained."""
_MODEL, _DATA = click.argument("model"), click.argument("data")
_shared = _given(_MODEL, _DATA, *_HOW, *_WHAT)


@main.command("explain")
@_shared
@click.option(
    "-m", "--method", "methods", multiple=True, metavar="NAME",
    help="A method of 'pellucid methods'; may be repeated.  [default: integrated_gradients]",
)  # fmt: skip
@click.option("--metric", "metrics", multiple=True, metavar="NAME",
              help="A metric of 'pellucid metrics' by which the report judges methods; may be repeated.")  # fmt: skip
@click.option("--layer", metavar="NAME", help="Explain the values of this module of the model, such as features.3, "
              "in the place of the input.")  # fmt: skip
@click.option("--neuron", metavar="INDEX", help="Explain this neuron of the layer, such as 3 or 1,2:4,:, in the place "
              "of the output.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("explanation"), show_default=True,
              metavar="DIR", help="Where the report, the pictures and the attributions go.")  # fmt: skip
@click.option("--title", default="What the model looked at", help="The heading of the report.")
@click.option("--pictures/--no-pictures", default=True, help="Whether PNGs are written beside the report.")
def explain(open_report: bool, full: bool, **given: Any) -> None:
    """Explain MODEL's predictions for DATA and write a report.

    MODEL is package.module:factory (a torch.nn.Module, or a function without arguments that makes one; the
    current folder is searched), an exported program (.pt2), or a local Hugging Face folder with safetensors.
    It is put into evaluation mode if it is not.

    DATA is an image, a folder of images (sub-folders are the true labels), .npy or .safetensors (N, ...) given
    to the model as it is, a CSV or Parquet table (its numeric columns), or, for a Hugging Face text model, a
    .txt file with one text per line or a quoted text.

    Ends with 0 if all went well, 2 if something given cannot be used, 1 if the model raised.
    """
    _run(lambda work, say: work.explain_data(work.Options(**given), say), open_report=open_report, full=full)


@main.command("compare")
@_shared
@click.option(
    "-m", "--method", "methods", multiple=True, metavar="NAME",
    help="A method of 'pellucid methods'; may be repeated.  [default: five that need no more than the model]",
)  # fmt: skip
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME",
    help="A metric of 'pellucid metrics'; may be repeated.  [default: deletion, insertion, faithfulness_correlation, "
    "sensitivity_max, sparseness]",
)  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("comparison"), show_default=True,
              metavar="DIR", help="Where the page, the picture and the numbers go.")  # fmt: skip
@click.option("--title", default="Which explanation to trust", help="The heading of the page.")
@click.option("--pictures/--no-pictures", default=True, help="Whether a PNG is written beside the page.")
def compare(open_report: bool, full: bool, **given: Any) -> None:
    """Find out which method explains MODEL best on DATA.

    Each method is scored by each metric on the same examples and held against random attributions, with
    confidence intervals. MODEL, DATA and the options are those of 'pellucid explain'. What is removed takes the
    value of --baseline; the channels of a pixel and the embedding of a token are removed together.

    Ends with 0 if all went well, 2 if something given cannot be used, 1 if the model raised.
    """
    _run(lambda work, say: work.compare_data(work.Options(**given), say), open_report=open_report, full=full)


@main.command("insights")
@_given(_MODEL, _DATA, *_WHAT)
@click.option("--beside", "others", multiple=True, metavar="MODEL",
              help="Another model of the same inputs and classes, to compare with; may be repeated.")  # fmt: skip
@click.option("-m", "--method", default="integrated_gradients", show_default=True, metavar="NAME",
              help="The method that the page starts with.")  # fmt: skip
@click.option("--target", default="predicted", show_default=True, metavar="predicted|label",
              help="The class that the page starts with: the predicted one, or the true one.")  # fmt: skip
@click.option("--examples", default="all", show_default=True, metavar="N|LIST|all",
              help="The first N, or positions like 0,4,10-12.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Where to listen.  [default: a free port]")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Write one HTML file that needs no server, and stop.")  # fmt: skip
@click.option("--title", default="Pellucid Insights", show_default=True, help="The heading of the page.")
@click.option("--open/--no-open", "open_page", default=False, help="Open the page in the browser.")
def insights(full: bool, **given: Any) -> None:
    """Look at MODEL's predictions for DATA, and at what they rest on, in the browser.

    The page is served on this computer only, until Ctrl-C. MODEL and DATA are those of 'pellucid explain'.

    Ends with 0 if all went well, 2 if something given cannot be used, 1 if the model raised.
    """
    _run(lambda work, say: work.show_data(work.Shown(**given), say), open_report=False, full=full)


def _run(job: Callable[[Any, Callable[[str], object]], Any], *, open_report: bool, full: bool) -> None:
    try:
        from pellucid.cli import _jobs as work  # noqa: PLC0415  (it imports everything)

        result = job(work, lambda line: click.echo(printable(line), err=True))
    except (Refusal, ModelFailure) as failure:
        if full:
            cause = failure.__cause__ or failure
            click.echo("".join(traceback.format_exception(cause)), err=True)
        raise
    for line in result.lines:
        click.echo(printable(line) if "\n" not in line else "\n".join(map(_kept, line.splitlines())))
    if open_report:
        click.launch(str(result.report))


def _kept(line: str) -> str:
    """Return a line without control characters, with its spaces."""
    return "".join(c if c.isprintable() else " " for c in line)
