"""The columns of a message's state, as every statement that locks or claims messages reads them."""

from __future__ import annotations

from typing import Any, TypeAlias

import sqlalchemy as sa

from storage.schema import messages

Row: TypeAlias = sa.Row[*tuple[Any, ...]]

STATE = (
    messages.c.id,
    messages.c.group_id,
    messages.c.tenant_id,
    messages.c.visible_at_ms,
    messages.c.sent_at_ms,
    messages.c.receive_count,
    messages.c.first_received_at_ms,
)
"""What must be known of a message to decide whether it may be received, and to receive it."""
