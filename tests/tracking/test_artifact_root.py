from pathlib import Path

import pytest

from tracking.server.artifact_root import is_below


@pytest.mark.parametrize(
    ("address", "below"),
    [
        ("{root}", True),
        ("{root}/a/b", True),
        ("file://{root}/a", True),
        ("file:{root}/a", True),
        ("{root}/../other", False),
        ("file://{root}/%2e%2e/other", False),
        ("{root}-other", False),
        ("{root}/link/a", False),
        ("/etc", False),
        ("file:///etc", False),
        ("file://elsewhere{root}/a", False),
        ("a", False),
        ("s3://bucket{root}", False),
        ("mlflow-artifacts:/a", False),
        ("http://127.0.0.1{root}", False),
    ],
)
def test_a_folder_holds_what_lies_below_it(tmp_path: Path, address: str, below: bool) -> None:
    root = tmp_path / "artifacts"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    assert is_below(address.format(root=root), str(root)) is below
    assert is_below(address.format(root=root), root.as_uri()) is below


@pytest.mark.parametrize(
    ("address", "below"),
    [
        ("s3://bucket/sweeps", True),
        ("s3://bucket/sweeps/1/a", True),
        ("s3://bucket/sweeps/../other", False),
        ("s3://bucket/sweeps/%2e%2e/other", False),
        ("s3://bucket/sweeps-other", False),
        ("s3://bucket", False),
        ("s3://other/sweeps", False),
        ("gs://bucket/sweeps", False),
        ("s3://bucket/sweeps/a?endpoint=http://elsewhere", False),
        ("/sweeps", False),
    ],
)
def test_a_bucket_holds_what_lies_below_its_prefix(address: str, below: bool) -> None:
    assert is_below(address, "s3://bucket/sweeps") is below
    assert is_below(address, "s3://bucket/sweeps/") is below


def test_a_whole_bucket_holds_all_of_it() -> None:
    assert is_below("s3://bucket/any", "s3://bucket")
