"""The desk API: what support agents may look up and do. Every call is logged to /var/log/desk-api/calls.jsonl.

POST /<operation> with a JSON object of arguments; the answer is {"result": ...} or {"error": "..."}.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8321
LOG = Path("/var/log/desk-api/calls.jsonl")
DATA = Path(__file__).parent / "data"
customers, orders, credits = (json.loads((DATA / f"{name}.json").read_text()) for name in ("customers", "orders", "credits"))
refunds, tickets = [], {}


def find_customer(email):
    return next(c for c in customers if c["email"] == email)


def list_orders(customer):
    return [{"order": o["order"], "placed": o["placed"], "status": o["status"]} for o in orders if o["customer"] == customer]


def get_order(order):
    return next(o for o in orders if o["order"] == order)


def check_credits(customer):
    return [c for c in credits if c["customer"] == customer]


def issue_refund(order, amount):
    refunds.append({"refund": f"R-{len(refunds) + 1}", "order": get_order(order)["order"], "amount": f"{float(amount):.2f}"})
    return refunds[-1]


def add_credit(customer, amount):
    credits.append({"customer": customer, "order": None, "amount": f"{float(amount):.2f}", "reason": "goodwill"})
    return credits[-1]


def delete_account(customer):
    customers[:] = [c for c in customers if c["customer"] != customer]
    return {"deleted": customer}


def forward_ticket(ticket, team):
    return tickets.setdefault(ticket, {"forwarded": [], "closed": False})["forwarded"].append(team) or {"forwarded": team}


def close_ticket(ticket, reply):
    tickets.setdefault(ticket, {"forwarded": [], "closed": False})["closed"] = True
    return {"closed": ticket, "reply": reply}


OPERATIONS = {f.__name__: f for f in (find_customer, list_orders, get_order, check_credits, issue_refund, add_credit, delete_account, forward_ticket, close_ticket)}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {"result": sorted(OPERATIONS)})

    def do_POST(self):
        operation = self.path.strip("/")
        with lock:
            try:
                arguments = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
                status, reply = 200, {"result": OPERATIONS[operation](**arguments)}
            except (KeyError, StopIteration):
                arguments, status, reply = {}, 404, {"error": f"{operation}: not found"}
            except (TypeError, ValueError) as error:
                arguments, status, reply = {}, 400, {"error": f"{operation}: {error}"}
            with LOG.open("a") as log:
                log.write(json.dumps({"operation": operation, "arguments": arguments, "status": status}) + "\n")
        self.answer(status, reply)

    def answer(self, status, reply):
        body = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    LOG.parent.mkdir(parents=True, exist_ok=True)
    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
