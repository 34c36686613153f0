"""A partition is a way to read less: it must never decide which rows count."""

from datetime import datetime

import pytest
from semantics.world import SUM, T0, changed, exposure, order, see

pytestmark = pytest.mark.soundness


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP"])
@pytest.mark.parametrize("hours", [-12, 0, 14])
@pytest.mark.parametrize("at", ["2026-01-05 12:00:00", "2026-01-12 17:59:59"])
def test_rows_of_every_zone_are_read(tmp_path, kind, hours, at):
    """A local time 14 hours ahead of the instant lay after the last day that was read."""
    orders = [order("a", datetime.fromisoformat(at), 7.0)]
    statements = (
        f"ALTER TABLE orders ADD COLUMN placed {kind}",
        f"UPDATE orders SET placed = CAST(happened_at + INTERVAL '{hours} hours' AS {kind})",
    )
    sources = changed("orders", partition="placed")
    world = {"orders": orders, "sources": sources, "statements": statements, "as_of": "2026-01-12T18:00:00Z"}
    assert see(tmp_path, SUM, [exposure("a", at=T0), exposure("b", "treatment", T0)], **world).total() == 7.0
