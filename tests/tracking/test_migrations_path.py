"""MLflow's migrations below a folder with a ``%`` in its name."""

import pytest
from alembic.config import Config

from tracking.store import migrations_path


@pytest.mark.parametrize("path", ["/a b%41ü/migrations", "/100%/migrations", "/plain/migrations"])
def test_the_path_of_migrations_may_have_a_percent_sign(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "set_main_option", Config.set_main_option)  # put back afterwards
    migrations_path.escape_always()
    config = Config()
    config.set_main_option("script_location", path)
    config.set_main_option("sqlalchemy.url", "sqlite:///escaped%%already")  # as MLflow does
    assert config.get_main_option("script_location") == path
    assert config.get_main_option("sqlalchemy.url") == "sqlite:///escaped%already"
