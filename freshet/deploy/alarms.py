"""Alarms that ring on silence: quiet in the template as it is deployed, until DMS and the job have been started.

Nothing speaks before that, and each of them would send a first, false mail. An update that touches such an alarm makes it
quiet again, so whoever updates the stack lets it ring as before.
"""

from typing import Any, Final

NAMES_AT_ONCE: Final = 100  # EnableAlarmActions takes no more


def _silent(cloudwatch: Any, prefix: str) -> list[dict[str, Any]]:
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm"])
    return [alarm for page in pages for alarm in page["MetricAlarms"] if alarm.get("TreatMissingData") == "breaching"]


def ring(cloudwatch: Any, prefix: str) -> bool:
    """Tell whether a stack's alarms on silence tell anybody: one that does is enough."""
    return any(alarm.get("ActionsEnabled") for alarm in _silent(cloudwatch, prefix))


def let_ring(cloudwatch: Any, prefix: str) -> list[str]:
    """Let a stack's alarms on silence tell somebody; gives the names of those that did not.

    Args:
        cloudwatch: Client.
        prefix: With which the names of the stack's alarms begin.
    """
    quiet = sorted(str(each["AlarmName"]) for each in _silent(cloudwatch, prefix) if not each.get("ActionsEnabled"))
    for begin in range(0, len(quiet), NAMES_AT_ONCE):
        cloudwatch.enable_alarm_actions(AlarmNames=quiet[begin : begin + NAMES_AT_ONCE])
    return quiet
