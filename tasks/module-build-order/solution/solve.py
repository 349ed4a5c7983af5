from pathlib import Path

waiting = {}
for path in Path("modules").glob("*/module.conf"):
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    settings = {key.strip(): value.strip() for key, value in pairs}
    depends = settings.get("depends", "").split(",")
    waiting[settings["name"]] = {name.strip() for name in depends if name.strip()}
order = []
while ready := sorted(name for name, depends in waiting.items() if depends <= set(order)):
    order.append(ready[0])
    del waiting[ready[0]]
Path("order.txt").write_text("".join(name + "\n" for name in order))
Path("blocked.txt").write_text("".join(name + "\n" for name in sorted(waiting)))
