"""`c2mabv plot`: figures from the stored results of a run or a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2mabv_jax import files
from c2mabv_jax.errors import ProblemError

if TYPE_CHECKING:
    import xarray as xr


def plot(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="Result folder of `c2mabv run` or `c2mabv sweep`.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the figures; by default DIR/figures.")
    ] = None,
    policies: Annotated[
        str | None, typer.Option(help="Draw only these policies, comma separated.")
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Sweeps: the two parameters of the heat maps, such as budget,alpha_cost."
        ),
    ] = None,
) -> None:
    """Draw the figures again; a figure of the same name is replaced, whole or not at all."""
    results = opened(source)
    if "point" in results.dims:
        drawn = sweep_figures(only(results, policies), axes)
    elif axes is not None:
        raise ProblemError(f"--axes = {axes!r}: only a sweep has swept parameters")
    else:
        drawn = run_figures(only(results, policies))
    for path in saved(drawn, source, out):
        typer.echo(path)


def opened(folder: Path) -> xr.Dataset:
    """Stored results in memory, verified.

    Raises:
      ProblemError: damaged or foreign.
    """
    from c2mabv_jax.results.stored import load

    try:
        results = load(folder).load()
    except ProblemError as error:
        raise ProblemError(f"DIR = {error}") from None
    wanted = {"round", "arm"} | ({"point"} if "point" in results.dims else {"policy", "seed"})
    if wanted - set(results.dims) or "policy" not in results.coords:
        raise ProblemError(f"DIR = {str(folder)!r}: not the results of a run or a sweep")
    return results


def only(results: xr.Dataset, policies: str | None) -> xr.Dataset:
    """The results of some policies.

    Raises:
      ProblemError: a policy that is not in the results.
    """
    if policies is None:
        return results
    known = list(dict.fromkeys(str(name) for name in results["policy"].to_numpy()))
    names = [name.strip() for name in policies.split(",")]
    for name in names:
        if name not in known:
            raise ProblemError(f"--policies = {name!r}: the results have {', '.join(known)}")
    if "point" in results.dims:
        return results.isel(point=results["policy"].isin(names).to_numpy())
    return results.sel(policy=names)


def run_figures(results: xr.Dataset) -> dict[str, Any]:
    """Figures of a run, by name."""
    from c2mabv_jax.plotting import curves

    return curves.figures(results)


def sweep_figures(results: xr.Dataset, axes: str | None) -> dict[str, Any]:
    """Figures of a sweep, by name.

    Raises:
      ProblemError: `axes` that are not two swept parameters.
    """
    from c2mabv_jax.plotting import sweeps

    if axes is None:
        return sweeps.figures(results)
    pair, known = axes.split(","), list(sweeps.swept(results))
    if len(set(pair)) != 2 or len(pair) != 2 or not set(pair) <= set(known):
        raise ProblemError(
            f"--axes = {axes!r}: give two of the swept parameters: {', '.join(known) or 'none'}"
        )
    return sweeps.figures(results, pair)


def saved(drawn: dict[str, Any], source: Path, out: Path | None) -> list[Path]:
    """Save figures as PNG and PDF, by default among the results, whose marker lists them.

    Raises:
      ProblemError: the folder cannot be written, or something foreign has a figure's name.
    """
    from c2mabv_jax.plotting import style

    folder, below, field = (source, "figures/", "DIR") if out is None else (out, "", "--out")
    contents: dict[str, bytes] = {}
    files.check_free(
        folder, [f"{below}{name}.{kind}" for name in drawn for kind in ("png", "pdf")], field
    )
    for name, figure in drawn.items():
        contents |= style.rendered(figure, f"{below}{name}")
    files.add(folder, contents, "plot", field)
    return [folder / name for name in contents]
