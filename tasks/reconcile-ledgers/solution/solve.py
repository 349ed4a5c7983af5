import csv
import json
import re
from collections import defaultdict

books = {row["reference"]: round(float(row["amount"]) * 100) for row in csv.DictReader(open("books.csv"))}
bank = defaultdict(int)
for row in csv.DictReader(open("bank.csv"), delimiter=";"):
    number = re.search(r"inv(?:oice)?[- ]?(\d{6})", row["Verwendungszweck"], re.IGNORECASE)
    if number:
        bank["INV-" + number[1]] += int(row["Betrag"].replace(".", "").replace(",", ""))
report = {
    "missing_in_bank": sorted(books.keys() - bank.keys()),
    "missing_in_books": sorted(bank.keys() - books.keys()),
    "amount_mismatch": [
        {"reference": reference, "books": books[reference] / 100, "bank": bank[reference] / 100}
        for reference in sorted(books.keys() & bank.keys())
        if books[reference] != bank[reference]
    ],
}
json.dump(report, open("reconciliation.json", "w"), indent=2)
