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
        description="Time without an event after which an event stream carries a heartbeat and its key is checked "
        "again, seconds. Proxies close silent connections after 30 to 60 s.",
    )
    ticket_seconds: float = Field(
        60.0, gt=0, le=600, description="Life of a ticket, seconds. A ticket opens one event stream."
    )
    progress_polls_per_second: float = Field(
        20.0,
        gt=0,
        description="Requests to the store each second for the progress of watched uploads, by one process. Each "
        "upload is asked for at most once a second.",
    )
