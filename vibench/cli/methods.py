"""``vibench methods``: list the methods, or explain one in full."""

from __future__ import annotations

from typing import Annotated

import typer


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Explain this method in full; without it, list all.")
    ] = None,
) -> None:
    """List the registered methods, or explain one: paper, losses, variants, printed numbers, parity, recipe, options.

    Example: vibench methods agw
    """
    if name is None:
        _list()
    else:
        _explain(name)


def _list() -> None:
    from rich.markup import escape
    from rich.table import Table

    from vibench.cli.console import out
    from vibench.methods.registry import method_entries

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column("method", style="bold", no_wrap=True)
    table.add_column("about", overflow="fold")
    for name, entry in method_entries().items():
        about = entry.recipe_file.method
        variants = ", ".join(
            f"{variant} (default)" if variant == about.default_variant else variant
            for variant in entry.recipe_file.variants
        )
        needs = f"; needs {', '.join(about.needs)}" if about.needs else ""
        looks = "" if about.test_time_information == "none" else f"; tests with {about.test_time_information}"
        told = f"{about.title}, {about.venue}{needs}{looks.replace('+', ' and ')}"
        table.add_row(escape(name), escape(told) + (f"\n[dim]{escape(variants)}[/]" if variants else ""))
    out.print(table)
    _say("The second line of each: its variants. In full: vibench methods NAME")


def _explain(name: str) -> None:
    from vibench.methods.description import differences, recipe_options
    from vibench.methods.recipe import load_recipe
    from vibench.methods.registry import get_method, method_entry

    recipe_file = method_entry(name).recipe_file
    about, method = recipe_file.method, get_method(name)

    _say(f"{about.title} ({name}, {about.venue})")
    _say(about.summary)
    _say(f"reference: {about.reference}")
    _say(f"test-time information: {about.test_time_information}")
    _say(f"needs in training besides images and identities: {', '.join(about.needs) or 'nothing'}")
    for need in about.needs:
        _say(f"{need}: a twin has its own; of other data sets, 'vibench data {need}' makes them", indent=2)

    _heading("losses")
    for loss, meaning in method.loss_names.items():
        _say(f"{loss}: {meaning}", indent=2)

    _heading("variants")
    if not about.default_variant:
        _say(f"(none named) {about.title} itself, the default", indent=2)
        _say_printed(about.printed)
    for variant, table in recipe_file.variants.items():
        default = ", the default" if variant == about.default_variant else ""
        _say(f"{variant}: {table.title}{default}. {table.note}", indent=2)
        changed = differences(recipe_file.variant_sections[variant])
        if table.host:
            _say(f"trains with the recipe of {table.host} on each data set", indent=4)
        if changed:
            _say(f"differs in {', '.join(changed)}", indent=4)
        _say_printed(table.printed)

    _say_parity(name)

    _heading("recipe on sysu-mm01; change it with --set section.key=value")
    recipe = load_recipe(name)
    for option in recipe_options(recipe):
        _say(f"{option.section}.{option.key} = {option.value}  ({option.type})", indent=2)
        if option.doc:
            _say(option.doc, indent=6)
    for loss, weight in recipe.loss_weights.items():
        _say(f"loss_weights.{loss} = {weight}  (number)", indent=2)

    _heading("recipe on other data sets")
    for dataset, sections in recipe_file.datasets.items():
        _say(f"{dataset}: {', '.join(differences(sections))}", indent=2)
    _say(f"any {'other' if recipe_file.datasets else 'data set'}: as on sysu-mm01", indent=2)


def _say_printed(printed: str) -> None:
    from vibench.files.shipped import published_folder
    from vibench.methods.description import printed_results

    for row in printed_results(printed, published_folder()):
        metrics = "  ".join(f"{metric} {value}" for metric, value in row.metrics.items())
        note = f"; {row.note}" if row.note else ""
        _say(f"printed: {row.dataset} {row.setting}: {metrics}  ({row.source}{note})", indent=4)


def _say_parity(name: str) -> None:
    from vibench.methods.parity import KINDS, figures, read_parity
    from vibench.methods.registry import method_entry

    _heading("parity with the official code")
    parity = read_parity(method_entry(name).folder)
    if parity is None:
        _say("no official training code was compared", indent=2)
        return
    _say(f"official code: {parity.repository} at {parity.commit}", indent=2)
    for compared in parity.steps.values():
        recipe = f"the recipe of {compared.dataset}{compared.variant and f', variant {compared.variant}'}"
        epochs = ", ".join(map(str, compared.epochs))
        _say(f"{compared.script}: {len(compared.epochs)} steps in epochs {epochs} with {recipe}", indent=2)
        largest = ", ".join(f"{KINDS[kind]} {figure}" for kind, figure in figures(compared.largest).items())
        _say(f"largest relative differences, in float64: {largest} ({compared.note})", indent=4)
    for deviation in parity.deviations:
        _say(f"on purpose: {deviation}", indent=2)
    _say(f"the official code keeps a checkpoint: {parity.checkpoint}", indent=2)
    _say(
        "vibench keeps the last epoch, on purpose: a checkpoint that is chosen on the test split makes the printed "
        "numbers too high",
        indent=2,
    )


def _heading(text: str) -> None:
    from vibench.cli.console import out

    out.print()
    out.print(text, style="bold", markup=False)


def _say(text: str, indent: int = 0) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from vibench.cli.console import out

    out.print(Padding(Text(text), (0, 0, 0, indent)))
