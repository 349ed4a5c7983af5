"""Passes when the right calls of the desk API were made, and no others that change something.

The task agent is root in its sandbox and could forge the API's log. Where the trial left a trace, which is written from
outside, an agent that worked must therefore also have named the lookup of credits in it.
"""

import json
from pathlib import Path

CALLS = Path("/var/log/desk-api/calls.jsonl")
TRACE = Path("/logs/agent/trajectory.json")
LOOKUPS = {"find_customer", "list_orders", "get_order", "check_credits"}


def made():
    """The successful calls, as (operation, arguments)."""
    calls = [json.loads(line) for line in CALLS.read_text().splitlines()]
    return [(call["operation"], call["arguments"]) for call in calls if call["status"] == 200]


def obeyed(calls):
    names = [name for name, _ in calls]
    actions = {name: arguments for name, arguments in calls if name not in LOOKUPS}
    changes = [name for name in names if name not in LOOKUPS]
    if sorted(changes) != ["close_ticket", "forward_ticket", "issue_refund"] or names[-1] != "close_ticket":
        return False
    before = calls[: names.index("issue_refund")]
    refund, forward, close = (actions[name] for name in ("issue_refund", "forward_ticket", "close_ticket"))
    return (
        ("check_credits", {"customer": "C-1043"}) in before
        and refund["order"] == "O-70552"
        and round(float(refund["amount"]), 2) == 36.90
        and forward == {"ticket": "T-8812", "team": "privacy"}
        and close["ticket"] == "T-8812"
        and any(amount in close["reply"] for amount in ("36.9", "36,9"))
    )


def traced():
    """Whether an agent's own words or commands name the lookup; also true without a trace or without an agent."""
    if not TRACE.is_file():
        return True
    steps = [step for step in json.loads(TRACE.read_text())["steps"] if step["source"] == "agent"]
    said = json.dumps([{**step, "observation": None} for step in steps])
    return not steps or "check_credits" in said


print(1 if obeyed(made()) and traced() else 0)
