"""Name the settings of event streams and WebSockets."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gateway.settings.common import SettingGroup


class WatchingSettings(SettingGroup):
    """Hold the settings of event streams and WebSockets."""

    title: ClassVar[str] = "Watching"

    max_streams: int = Field(
        5000, gt=0, description="Event streams and WebSockets open at once per process; each costs about 50 KB."
    )
    max_streams_per_tenant: int = Field(
        1000, gt=0, description="Event streams and WebSockets one tenant may have open at once per process."
    )
    stream_heartbeat_seconds: float = Field(
        15.0,
        gt=0,
        description="Time without an event after which a stream carries a sign of life and its key is checked again, "
        "seconds. Proxies cut silent connections after 30 to 60.",
    )
    ticket_seconds: float = Field(
        60.0, gt=0, le=600, description="Life of a one-use ticket for opening a stream, seconds."
    )
    progress_polls_per_second: float = Field(
        20.0,
        gt=0,
        description="Questions a process asks the store in a second for the progress of watched uploads, all together; "
        "one upload is asked for once a second at most.",
    )
