"""Everybody who is told of alerts: by mail, by a webhook such as Slack's, and by whatever Apprise knows."""

from keepfit.adapters.alert_receivers.receivers import AlertReceivers

__all__ = ["AlertReceivers"]
