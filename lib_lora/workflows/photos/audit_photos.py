"""Audits a character's photos: measures new ones, judges all, and keeps the user's decisions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lib_lora.captions.photo_facts import AuditedPhoto, PhotoComparison
from lib_lora.character.photo_files import list_photos
from lib_lora.character.store import load
from lib_lora.errors import UserError, typed
from lib_lora.faces.array_text import unpacked
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine
from lib_lora.files import explained
from lib_lora.likeness.measure import template as templates
from lib_lora.likeness.measure.calibration import against, reach
from lib_lora.likeness.measure.cohort import cohort
from lib_lora.likeness.measure.template import Reference, Template
from lib_lora.models.families.registry import usual_family
from lib_lora.photos.audit import audit_store
from lib_lora.photos.audit.audit import Audit, audit
from lib_lora.photos.audit.audit_store import AuditStore
from lib_lora.photos.audit.findings import MARRED, of_photo
from lib_lora.photos.audit.identity_clusters import groups, large_groups
from lib_lora.photos.audit.near_duplicates import repeated
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.photos import audit_cache, changes, thumbnails
from lib_lora.workflows.photos.character_template import kept_template, template_path
from lib_lora.workflows.photos.measure_photos import PhotoMeasurement, measure_photo
from lib_lora.workspace.workspace import CharacterFolder, Workspace

FACTS = 3  # raise it whenever the same photo may give other facts
PATIENCE = 5.0  # seconds to wait for another process: an import takes the photos for a moment at each picture
RESOLUTION = usual_family().largest_side  # pixels, while no base model is known
_MOST_THREADS = 4  # each loads its own networks, 100 MB


@dataclass(frozen=True)
class Choices:
    """What the user decides about photos, by file name.

    Attributes:
        keep: to be used whatever is said against them.
        drop: to be left out.
        undecided: whose decision is taken back.
        accept: also leave out all that is proposed.
    """

    keep: Sequence[str] = ()
    drop: Sequence[str] = ()
    undecided: Sequence[str] = ()
    accept: bool = False


def audit_photos(
    root: Path,
    name: str,
    resolution: int = RESOLUTION,
    choices: Choices | None = None,
    engine: FaceEngine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[CharacterFolder, Audit]:
    """Look through a character's photos, and keep what was found and decided.

    Args:
        root: the data folder.
        name: of the character.
        resolution: pixels of a side of what will be trained.
        choices: decisions; None = no new ones.
        engine: None = the default one.
        progress: is called with the number of new photos measured so far, and of all new ones.

    Raises:
        UserError: no such character or photo, or a file cannot be written.
    """
    folder = Workspace(root).character(name)
    load(folder)
    photos = list_photos(folder.photos)
    if not photos:
        raise UserError(
            f"There is no photo in {folder.photos}; add some with: {typed('import', name)} PHOTOS", code="no-photo"
        )
    engine = engine or SFaceEngine()
    with only_process(folder.path, "wait a moment and try again", PATIENCE):
        store = audit_store.load(folder)
        store = replace(store, files=audit_store.digests(photos, store))
        chosen = _decide(store, choices or Choices())
        seen = _measured(folder, engine, photos, store, progress)
        result = _judged(folder, engine, seen, chosen, resolution)
        if choices and choices.accept:
            chosen = audit_store.decided(chosen, _digests(store, [item.photo.file for item in result.proposed]), "drop")
            result = _judged(folder, engine, seen, chosen, resolution)
        thumbnails.forget_others(folder, {known.sha256 for known in store.files.values()})
        thumbnails.keep(folder, {store.files[file].sha256: one.thumbnail for file, one in seen.items()})
        changes.note_decisions(folder, store, chosen)
        by_digest = {known.sha256: seen[file].facts for file, known in store.files.items()}
        audit_store.save(folder, replace(chosen, measured_by=_measured_by(engine), facts=by_digest))
        audit_cache.keep(folder, result)
    return folder, result


def _measured_by(engine: FaceEngine) -> str:
    return f"{FACTS}/{engine.id}"


def _decide(store: AuditStore, choices: Choices) -> AuditStore:
    twice = {*choices.keep} & {*choices.drop} | {*choices.keep, *choices.drop} & {*choices.undecided}
    if twice:
        raise UserError(
            f"{sorted(twice)[0]} is given twice with different decisions; give it once.",
            code="photo-decided-twice",
            photo=sorted(twice)[0],
        )
    both = {*_digests(store, choices.keep).values()} & {*_digests(store, choices.drop).values()}
    if both:
        names = ", ".join(sorted(name for name, known in store.files.items() if known.sha256 in both))
        raise UserError(
            f"{names} are identical, so they are kept or left out together; delete one of the files.",
            code="photos-identical",
        )
    for files, decision in ((choices.keep, "keep"), (choices.drop, "drop"), (choices.undecided, None)):
        store = audit_store.decided(store, _digests(store, files), decision)  # type: ignore[arg-type]
    return store


def _digests(store: AuditStore, files: Sequence[str]) -> dict[str, str]:
    for file in files:
        if file not in store.files:
            raise UserError(
                f"This character has no photo {file}; use the names in its photos folder.",
                code="photo-not-found",
                photo=file,
            )
    return {file: store.files[file].sha256 for file in files}


def _measured(
    folder: CharacterFolder,
    engine: FaceEngine,
    photos: Sequence[Path],
    store: AuditStore,
    progress: Callable[[int, int], None] | None,
) -> dict[str, PhotoMeasurement]:
    """By file name. A photo is measured again where its facts, or its face in the template, are not at hand."""
    old = kept_template(folder, engine)
    references: dict[str, Reference] = {}
    for item in old.references if old else ():
        if item.embedding is not None or item.sha256 not in references:  # of two files with these bytes one has a face
            references[item.sha256] = item
    facts = store.facts if store.measured_by == _measured_by(engine) else {}
    found, new = {}, []
    for photo in photos:
        digest = store.files[photo.name].sha256
        if digest in facts and digest in references and not facts[digest].unreadable:  # what reads it may be there now
            again = replace(templates.alone(references[digest]), file=photo.name)
            found[photo.name] = PhotoMeasurement(facts[digest], again)
        else:
            new.append(photo)
    digests = {photo.name: store.files[photo.name].sha256 for photo in new}
    with _one_thread_each(), ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for number, (photo, seen) in enumerate(
            zip(new, pool.map(lambda photo: measure_photo(engine, photo, digests[photo.name]), new), strict=True)
        ):
            found[photo.name] = seen
            if progress:
                progress(number + 1, len(new))
    return found


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV's own threads would wait for ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _judged(
    folder: CharacterFolder, engine: FaceEngine, seen: dict[str, PhotoMeasurement], store: AuditStore, resolution: int
) -> Audit:
    """Compare the photos with each other, and keep the template of those that are used."""
    references = {file: seen[file].reference for file in sorted(seen, key=str.casefold)}
    template = _template(folder, engine, list(references.values()), store.dropped)
    photos = [AuditedPhoto(file, store.files[file].sha256, seen[file].facts) for file in references]
    cosines = _cosines([references[photo.file] for photo in photos])
    comparisons = _comparisons(photos, template, cosines, store.dropped, resolution)
    shown = [[photos[place].file for place in group] for group in large_groups(groups(cosines))]
    photos = [replace(photo, comparison=comparisons[photo.file]) for photo in photos]
    return audit(photos, store.decisions, resolution, shown)


def _template(
    folder: CharacterFolder, engine: FaceEngine, references: list[Reference], dropped: set[str]
) -> Template | None:
    try:
        template = templates.assemble(engine.id, references, dropped)
    except UserError:  # no face in any photo in use, which the findings say of each
        with explained(template_path(folder, engine)):
            template_path(folder, engine).unlink(missing_ok=True)
        return None
    templates.save(template, template_path(folder, engine))
    return template


def _comparisons(
    photos: Sequence[AuditedPhoto],
    template: Template | None,
    cosines: npt.NDArray[np.float64],
    dropped: set[str],
    resolution: int,
) -> dict[str, PhotoComparison]:
    usual = float(np.median(template.loo)) if template is not None and template.loo.size else None
    stranger = reach(against(template, cohort(template.engine))) if template is not None else None
    compared = {item.file: item for item in template.references} if template else {}
    found: dict[str, PhotoComparison] = {}
    first: dict[str, str] = {}
    for photo in photos:
        item = compared.get(photo.file)
        found[photo.file] = PhotoComparison(
            likeness=item.likeness if item else None,
            usual=usual,
            reach=stranger,
            unlike=bool(item and item.outlier),
            left_out=bool(item and item.outlier and not item.used),
            same_as=first.get(photo.sha256, ""),
        )
        first.setdefault(photo.sha256, photo.file)
    places = [place for place, photo in enumerate(photos) if not found[photo.file].same_as]
    single = [photos[place] for place in places]
    by_file = {photo.file: of_photo(replace(photo, comparison=found[photo.file]), resolution, None) for photo in single}
    faulty = {file for file, findings in by_file.items() if any(one.advice == "drop" for one in findings)}
    faulty |= {photo.file for photo in single if photo.sha256 in dropped}
    marred = {file: {one.code for one in findings} & MARRED for file, findings in by_file.items()}
    for place, again in repeated(single, cosines[np.ix_(places, places)], faulty, marred).items():
        file, better = single[place].file, single[again.of].file
        copy_of, burst_of = (better, "") if again.copy else ("", better)
        found[file] = replace(found[file], alike=again.likeness, copy_of=copy_of, burst_of=burst_of)
    return found


def _cosines(references: Sequence[Reference]) -> npt.NDArray[np.float64]:
    """The cosines of all pairs of faces; NaN where a photo has no face."""
    count = len(references)
    found = np.full((count, count), np.nan)
    places = [place for place, item in enumerate(references) if item.embedding is not None]
    if places:
        vectors = np.stack([unpacked(references[place].embedding or "") for place in places])
        found[np.ix_(places, places)] = vectors @ vectors.T
    return found
