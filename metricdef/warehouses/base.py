"""What every warehouse adapter can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from metricdef.warehouses.cost import Cost

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Session:
    """What a connection says about itself.

    Attributes:
        tag: Where the engine keeps it with a query: what asked for it.
        timeout: Seconds after which a statement is stopped; None: the engine's own limit.
    """

    tag: str = "metricdef"
    timeout: float | None = None


class Warehouse(Protocol):
    """A read-only connection in UTC."""

    dialect: str

    def execute(self, statements: Sequence[str]) -> pa.Table:
        """Run statements in order and return the last one's rows. Raises WarehouseError or WarehouseUnavailable."""

    def cost(self, statements: Sequence[str]) -> Cost:
        """What the engine expects of the statements, without reading a row of a source.

        Raises WarehouseError where it refuses them, and WarehouseUnavailable.
        """

    def cancel(self) -> None:
        """Stop the statement that runs, also from another thread: `execute` raises WarehouseTimeout there."""

    def describe(self, relation: str) -> dict[str, str]:
        """Columns and the engine's names of their types, of what stands after FROM.

        Raises WarehouseError where it does not exist.
        """

    def tables(self) -> list[str]:
        """Names of the tables one can read, schema first where it is not the default one."""

    def close(self) -> None:
        """Give the connection back."""

    def __enter__(self) -> Self:
        """Use as a context manager."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
