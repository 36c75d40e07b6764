"""Lets Hydra find the user's own configs in `./conf`."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from transferlab.config import config_files


class OwnConfigs(SearchPathPlugin):
    """Appends `./conf`, if there is one; a shipped config of the same name comes first."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Hydra calls this once when it starts."""
        own = config_files.users()
        if own is not None:
            search_path.append(provider="own-configs", path=f"file://{own}")
