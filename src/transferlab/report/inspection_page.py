"""An inspection as text for the terminal, and as one HTML file with pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape

import cv2
import numpy as np

from transferlab.data.catalog.catalog import Catalog
from transferlab.data.inspection import DomainReport, Inspection
from transferlab.run.randomness import derived_seed

PICTURE_PX = 112
PER_CLASS = 8
MOST_PAIRS = 40

STYLE = """
body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222;
} pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; }
figure { display: inline-block; margin: 0 .5rem .5rem 0; width: 112px; vertical-align: top; }
figcaption { font-size: .7rem; overflow-wrap: anywhere; color: #555; }
img { max-width: 112px; max-height: 112px; }
.problem { color: #a00; font-weight: 600; }
"""


def as_html(inspection: Inspection) -> str:
    """A page without scripts or links: the text, then pictures of every class and of what looks alike."""
    body = ["<h1>Inspection</h1>"]
    body += [f'<p class="problem">{escape(problem)}</p>' for problem in inspection.problems]
    body.append(f"<pre>{escape(as_text(inspection))}</pre>")
    for report in inspection.domains:
        catalog = inspection.catalogs.get(report.name)
        if catalog is not None:
            body += _pictures(report, catalog)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Inspection</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _pictures(report: DomainReport, catalog: Catalog) -> Iterable[str]:
    yield f"<h2>{escape(report.name)}</h2>"
    for code, name in enumerate(catalog.classes):
        members = catalog.table.loc[(catalog.table["label"] == code).fillna(False), "sample"].tolist()
        members.sort(key=lambda sample: derived_seed("shown", sample))
        yield f"<h3>{escape(name)} ({report.classes.get(name, 0)})</h3>"
        yield "".join(_figure(catalog, sample) for sample in sorted(members[:PER_CLASS]))
    for title, groups in (("Exact copies", report.duplicates), ("Look alike", report.near_duplicates)):
        if groups:
            yield f"<h3>{title}</h3>"
        for samples in groups[:MOST_PAIRS]:
            yield "<div>" + "".join(_figure(catalog, sample) for sample in samples[:PER_CLASS]) + "</div>"


def _figure(catalog: Catalog, sample: str) -> str:
    address = f"data:image/jpeg;base64,{_encoded(catalog.reader(sample))}"
    return f'<figure><img alt="" src="{address}"><figcaption>{escape(sample)}</figcaption></figure>'


def _encoded(pixels_HW3: np.ndarray) -> str:
    height, width = pixels_HW3.shape[:2]
    scale = PICTURE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    small = cv2.resize(pixels_HW3, size, interpolation=method)
    done, file = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert done
    return base64.b64encode(file.tobytes()).decode()


def as_text(inspection: Inspection) -> str:
    """Counts, sizes, copies and what is wrong; problems come last, where the eye is."""
    blocks = [_domain(report, named=len(inspection.domains) > 1) for report in inspection.domains]
    if inspection.problems:
        blocks.append("\n".join(["Problems:", *(f"  {problem}" for problem in inspection.problems)]))
    else:
        blocks.append("No problems: nothing leaks, and every class has images.")
    return "\n\n".join(blocks)


def _domain(report: DomainReport, *, named: bool) -> str:
    lines = [f"{report.name.capitalize()}:"] if named else []
    lines.append(f"{report.num_images} images in {len(report.classes)} classes")
    if report.imbalance_ratio is not None:
        lines[-1] += f", the largest {report.imbalance_ratio} times the smallest"
    lines += _class_table(report)
    for name, spread in (("width", report.width_px), ("height", report.height_px)):
        if spread:
            lines.append(f"{name}: {spread['smallest']} to {spread['largest']} px, median {spread['median']}")
    for name, counts in (("modes", report.modes), ("formats", report.formats)):
        if counts:
            lines.append(f"{name}: " + ", ".join(f"{kind} {count}" for kind, count in counts.items()))
    if report.num_groups:
        lines.append(f"groups: {report.num_groups}")
    lines.append(
        f"exact copies: {len(report.duplicates)}; look-alikes: {len(report.near_duplicates)}; "
        f"broken: {len(report.broken)}"
    )
    lines += [f"  broken: {sample}: {reason}" for sample, reason in report.broken.items()]
    lines += [f"  copies: {' = '.join(samples)}" for samples in report.duplicates]
    lines += [f"  look alike: {' ~ '.join(samples)}" for samples in report.near_duplicates]
    lines += [f"  odd: {sample}: {', '.join(remarks)}" for sample, remarks in report.remarks.items()]
    lines += [f"Note: {warning}" for warning in report.warnings]
    return "\n".join(lines)


def _class_table(report: DomainReport) -> list[str]:
    splits = list(report.splits)
    how = "given" if report.splits_given else "proposed"
    header = ["class", "images", *(f"{split} ({how})" for split in splits)]
    rows = [
        [name, str(count), *(str(report.splits[split].get(name, 0)) for split in splits)]
        for name, count in report.classes.items()
    ]
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *rows]
    ]
