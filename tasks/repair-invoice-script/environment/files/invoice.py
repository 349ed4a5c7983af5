"""Print the amounts of an invoice. See RULES.md."""

import json
import sys


def discount(net):
    if net > 500:
        return net * 0.05
    if net > 2000:
        return net * 0.10
    return 0


def vat(order, amount):
    if order["customer"]["vat_id"][:2] != "AT":
        return 0
    return amount * 0.2


def main():
    order = json.load(open(sys.argv[1]))
    net = 0
    for line in order["lines"]:
        if not line["quantity"]:
            break
        net = net + round(line["quantity"] * float(line["unit_price"]), 2)
    reduced = net - discount(net)
    print("net", round(net, 2))
    print("discount", round(discount(net), 2))
    print("vat", round(vat(order, reduced), 2))
    print("total", round(reduced + vat(order, reduced), 2))


main()
