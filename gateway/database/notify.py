"""Name the PostgreSQL notification channel and its topics."""

from __future__ import annotations

NOTIFY_CHANNEL = "gateway_uploads"
"""A payload is a list of topics, separated by spaces: `tenant_id upload_id`. It says which topics to read again."""

WEBHOOKS_TOPIC = "webhooks"
"""The topic of the webhook sender. It follows the two ids, or stands alone, when a message is due."""

POST_UPLOADS_TOPIC = "post_uploads"
"""`post_uploads:{upload_id}` asks the workers to look for the file of one POST upload."""
