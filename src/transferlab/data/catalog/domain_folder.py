"""One domain of a folder that holds several: Office-31, Office-Home and the like."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from transferlab.config.bounds import PositiveInt
from transferlab.data.catalog.catalog import Catalog
from transferlab.data.catalog.folder import Folder, existing_folder
from transferlab.data.catalog.folder_layout import inner_folder
from transferlab.data.catalog.walking import visible_folders
from transferlab.data.data_error import DataError, some
from transferlab.run.printable import printable


@dataclass(frozen=True)
class DomainFolder:
    """`<root>/<domain>/<class>/`, or `<root>/<domain>/images/<class>/` as in Office-31.

    Saenko et al. (2010), Adapting Visual Category Models to New Domains.

    `conf/data/catalog/domain_folder.yaml` describes the arguments.
    """

    root: str | None
    _: KW_ONLY
    domain: str | None
    max_pixels: PositiveInt = 100_000_000

    def load(self) -> Catalog:
        folder = domain_folder(existing_folder(self.root), self.domain)
        catalog = Folder(str(folder), max_pixels=self.max_pixels).load()
        return replace(catalog, table=catalog.table.assign(domain=self.domain))


def domain_folder(root: Path, domain: str | None) -> Path:
    """Where a domain's class folders are; raises `DataError`, which names the domains that there are."""
    names = [folder.name for folder in visible_folders(root)]
    if not names:
        raise DataError(f"data.root={root} holds no folders. It should hold one for each domain.")
    if domain not in names:
        by_lower = {name.lower(): name for name in names}
        close = get_close_matches(str(domain).lower(), by_lower, n=1)
        hint = f" Did you mean {by_lower[close[0]]}?" if close else ""
        within = inner_folder(root)
        if (within / str(domain)).is_dir():
            hint = f" Did you mean data.root={printable(within)}?"
        raise DataError(
            f"domain={domain}: data.root={root} has no folder of this name.{hint} It has {some(names, 20)}."
        )
    folder = root / str(domain)
    images = folder / "images"
    return images if images.is_dir() and visible_folders(images) else folder
