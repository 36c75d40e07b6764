"""An inspection for the terminal."""

from __future__ import annotations

from transferlab.data.inspection import DomainReport, Inspection


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
