"""`c2mabv plot`: figures from the stored results of a run or a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import c2mabv_jax

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
    if not (source / "results.zarr").is_dir():
        what = "no results.zarr in it" if source.is_dir() else "no such folder"
        raise c2mabv_jax.ProblemError(
            f"DIR = '{source}': {what}; give a folder that `c2mabv run` or a finished "
            "`c2mabv sweep` wrote"
        )
    results = opened(source / "results.zarr")
    if "point" in results.dims:
        drawn = sweep_figures(only(results, policies), axes)
    elif axes is not None:
        raise c2mabv_jax.ProblemError(f"--axes = {axes!r}: only a sweep has swept parameters")
    else:
        drawn = run_figures(only(results, policies))
    target = source / "figures" if out is None else out
    for path in saved(drawn, target):
        typer.echo(path)


def opened(path: Path) -> xr.Dataset:
    """Stored results in memory.

    Raises:
      ProblemError: damaged or foreign.
    """
    import xarray as xr

    try:
        results = xr.open_zarr(path).load()
        wanted = {"round", "arm"} | ({"point"} if "point" in results.dims else {"policy", "seed"})
        if wanted - set(results.dims) or "policy" not in results.coords:
            raise KeyError("not the results of a run or a sweep")
    except Exception as error:  # zarr and its codecs raise many kinds for a damaged store
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise c2mabv_jax.ProblemError(
            f"DIR = '{path.parent}': results.zarr cannot be read ({why})"
        ) from None
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
            raise c2mabv_jax.ProblemError(
                f"--policies = {name!r}: the results have {', '.join(known)}"
            )
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
        raise c2mabv_jax.ProblemError(
            f"--axes = {axes!r}: give two of the swept parameters: {', '.join(known) or 'none'}"
        )
    return sweeps.figures(results, pair)


def saved(drawn: dict[str, Any], target: Path) -> list[Path]:
    """Save figures as PNG and PDF.

    Raises:
      ProblemError: the folder cannot be written.
    """
    from c2mabv_jax.plotting import style

    try:
        return [
            path for name, figure in drawn.items() for path in style.save(figure, target / name)
        ]
    except OSError as error:
        raise c2mabv_jax.ProblemError(
            f"--out = '{target}': {error.strerror}; give a folder that can be written"
        ) from None
