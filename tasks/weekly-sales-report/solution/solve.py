import csv
from collections import Counter

products = {row["product_id"]: row for row in csv.DictReader(open("products.csv"))}
days, categories, units, returns = Counter(), Counter(), Counter(), Counter()
for row in csv.DictReader(open("sales.csv")):
    if not "2024-10-07" <= row["date"] <= "2024-10-13":
        continue
    product = products[row["product_id"]]
    quantity = int(row["quantity"])
    if row["type"] == "return":
        returns[product["name"]] += quantity
        quantity = -quantity
    cents = quantity * round(float(product["price_eur"]) * 100)
    days[row["date"]] += cents
    categories[product["category"]] += cents
    units[product["name"]] += quantity


def eur(cents):
    return f"{cents / 100:.2f} EUR"


best, revenue = days.most_common(1)[0]
with open("report.md", "w") as report:
    print("# Week 2024-10-07 to 2024-10-13\n\n## Revenue", file=report)
    print(f"Total: {eur(sum(days.values()))}\nBest day: {best} ({eur(revenue)})\n\n## Categories", file=report)
    for name, cents in categories.most_common():
        print(f"- {name}: {eur(cents)}", file=report)
    print("\n## Top products", file=report)
    for place, (name, count) in enumerate(units.most_common(3), 1):
        print(f"{place}. {name} ({count} units)", file=report)
    print("\n## Returns", file=report)
    for name in sorted(returns):
        print(f"- {name}: {returns[name]}", file=report)
