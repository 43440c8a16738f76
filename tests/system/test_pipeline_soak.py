"""The pipeline's faults, longer: each five times as long, then at random for SOAK_MINUTES (20)."""

import os

import pytest
from faults import ITS_OWN, OF_SERVERS, random_faults
from pipeline import Pipeline, Row

pytestmark = [pytest.mark.engine, pytest.mark.soak]
pytest_plugins = ("pipeline_fixtures",)

LONGER = 5.0


@pytest.mark.parametrize("fault", [*ITS_OWN, *OF_SERVERS])
def test_each_fault_lasting(fault: str, pipeline: Pipeline, table: list[Row]) -> None:
    pipeline.scale = LONGER
    pipeline.start(proxied=True).load(30)
    pipeline.flowing()
    (ITS_OWN | OF_SERVERS)[fault](pipeline)
    pipeline.expect_all(fault, table)


def test_random_faults_for_many_minutes(pipeline: Pipeline, table: list[Row]) -> None:
    random_faults(pipeline, table, float(os.environ.get("SOAK_MINUTES") or 20))
