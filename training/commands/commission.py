"""`cxr commission`: test the released model on a site's own films, and adjust it to them."""

import os
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.model.findings import Finding

if TYPE_CHECKING:
    from training.commissioning.commission import Commissioned


def commission(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="The site's films: in folders named by class, or with labels.csv (path, label, patient), or without labels. "
            "With --demo: a new folder for the synthetic hospital.",
        ),
    ] = None,
    site: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the site: small letters, digits and hyphens.")
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE", help="Bundle: a folder, or a tag of BentoML's model store. Default: the release that is served."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table of labels. Default: labels.csv in FOLDER, if it is there.")
    ] = None,
    from_feedback: Annotated[
        Path | None,
        typer.Option(metavar="ARCHIVE", help="Folder of films as they were sent; uses those with a confirmed label on record."),
    ] = None,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Ignore all labels. Nothing is verified then.")] = False,
    leave_out: Annotated[
        list[Finding] | None, typer.Option(metavar="CLASS", help="Class whose films are not used; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the site profiles. Default: sites.")] = None,
    reports: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the reports. Default: reports.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of cross-validation and bootstrap.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Films read at the same time.")] = os.cpu_count() or 1,
    demo: Annotated[bool, typer.Option("--demo", help="Try it on a synthetic hospital with drawn films.")] = False,
) -> None:
    """Test the model on a site's own films, adjust it, and write a report and a site profile. For research use only.

    Needs at least 20 films of each class. The profile holds only the parts that are better than the release beyond chance; the
    report says which, and why. The exit status is 0 even if no profile is written.

    Example: cxr commission /data/own-films --site st-anna
    """
    from service.model.releases import locate_bundle
    from training.commissioning import commission as module
    from training.commissioning.films.demo import NAME, write_hospital

    root = Path()
    if demo:
        if site or labels or from_feedback or unlabelled or leave_out:
            raise typer.BadParameter("the synthetic hospital takes no other films, labels or name", param_hint="--demo")
        root = folder or Path(tempfile.mkdtemp(prefix="cxr-demo-"))
        folder, site = root / "films", NAME
        write_hospital(folder, seed)
        typer.echo(f"A synthetic hospital is in {folder}: 120 films with labels, 100 without.", err=True)
    elif site is None:
        raise typer.BadParameter("name the site, such as st-anna", param_hint="--site")
    elif folder is None and from_feedback is None:
        raise typer.BadParameter("give the folder of the site's films, --from-feedback, or --demo", param_hint="FOLDER")
    job = module.CommissioningJob(
        site=site,
        bundle=locate_bundle(bundle),
        folder=folder,
        labels=labels,
        archive=from_feedback,
        unlabelled=unlabelled,
        leave_out=tuple(leave_out or ()),
        sites=out or root / "sites",
        reports=reports or root / "reports",
        seed=seed,
        threads=threads,
    )
    _print(module.commission(job), bundle)


def _print(done: "Commissioned", bundle: str | None) -> None:
    """The verdict, where the files are, and how to serve the profile."""
    from training.evaluation.report.files import PAGE_NAME
    from training.evaluation.report.local_page import LOCAL_FOLDER

    print(done.verdict)
    print(f"\nReport: {done.report / PAGE_NAME}")
    if (local := done.report / LOCAL_FOLDER).is_dir():
        print(f"Films of patients: {local}; do not pass this folder on.")
    if done.profile is not None:
        chosen = [f"CXR_BUNDLE={shlex.quote(bundle)}"] if bundle else []
        print(f"Serve it: {' '.join([*chosen, f'CXR_SITE={shlex.quote(str(done.profile))}', 'make serve'])}")
