"""Print the amounts of an invoice. See RULES.md."""

import json
import sys
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def cents(amount):
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def discount(net):
    if net >= 2000:
        return cents(net * Decimal("0.10"))
    if net >= 500:
        return cents(net * Decimal("0.05"))
    return Decimal("0.00")


def vat(order, amount):
    vat_id = order["customer"].get("vat_id") or ""
    if vat_id and vat_id[:2] != "AT":
        return Decimal("0.00")
    return cents(amount * Decimal("0.20"))


def main():
    order = json.load(open(sys.argv[1]))
    net = cents(sum((line["quantity"] * Decimal(line["unit_price"]) for line in order["lines"]), Decimal(0)))
    less = discount(net)
    tax = vat(order, net - less)
    for name, amount in (("net", net), ("discount", less), ("vat", tax), ("total", net - less + tax)):
        print(name, cents(amount))


main()
