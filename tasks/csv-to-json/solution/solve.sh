#!/bin/bash
set -e
python3 - <<'END'
import csv, json
products = []
for row in csv.DictReader(open("products.csv", newline="")):
    row.update(price=float(row["price"]), stock=int(row["stock"]), active=row["active"] == "yes")
    products.append(row)
json.dump(products, open("products.json", "w"), indent=2)
END
