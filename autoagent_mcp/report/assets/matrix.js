"use strict";

/* Tasks by experiments: what each harness did with each task. A cell leads to its trial. */
{
  const COLUMNS = 100;
  const MEANINGS = {
    s: "solved", S: "solved, better than the incumbent then", f: "flaky", F: "flaky, better than the incumbent then",
    G: "flaky, worse than the incumbent then", x: "not solved", X: "broken: worse than the incumbent then", ".": "not measured",
  };
  const GLYPHS = { S: "+", F: "+", G: "−", X: "−" };
  const LEGEND = [["s", "solved"], ["f", "flaky"], ["x", "not solved"], ["S", "newly solved"], ["X", "broken"], [".", "not measured"]];
  const rank = { s: 2, S: 2, f: 1, F: 1, G: 1, x: 0, X: 0 };

  autoagent.matrix = () => {
    const { el, data } = autoagent;
    const view = autoagent.memory("matrix", { wanted: "", order: "name", only: "", end: 0 });
    const grid = el("div", { class: "scroll matrix", role: "region", "aria-label": "Tasks by experiments" });
    const bar = el("div", { class: "pager" });
    const draw = () => {
      const shown = columns(view);
      const end = Math.min(Math.max(view.end || shown.length, Math.min(COLUMNS, shown.length)), shown.length);
      const part = shown.slice(Math.max(0, end - COLUMNS), end);
      grid.replaceChildren(drawn(part, rows(view, part)));
      drawPager(bar, end, shown.length, (to) => ((view.end = to < shown.length ? to : 0), draw()));
    };
    draw();
    const change = (name) => (event) => ((view[name] = event.target.value), (view.end = 0), draw());
    return el(
      "div",
      {},
      el("h1", {}, "Tasks by experiments"),
      el(
        "div",
        { class: "bar" },
        el("input", { type: "search", class: "search", placeholder: "Search tasks  ( / )", "aria-label": "Search tasks", value: view.wanted, oninput: change("wanted") }),
        choice("Order of tasks", [["name", "by name"], ["hard", "hardest first"], ["moved", "most changed first"]], view.order, change("order")),
        choice("Which experiments", [["", "all experiments"], ["kept", "kept only"], ["measured", "measured on the suite"]], view.only, change("only")),
        bar,
      ),
      el("p", { class: "legend" }, LEGEND.map(([letter, title]) => el("span", {}, el("i", { class: "cell", "data-c": letter }, GLYPHS[letter]), title))),
      data.tasks.length ? grid : el("p", { class: "quiet" }, "No trial has ended yet."),
      about(data),
    );
  };

  /* What a person should know of the suite: what is left out, what runs otherwise than it asks for. */
  const about = ({ excluded, suite_notices: notices }) => {
    const { el } = autoagent;
    const all = [...notices, ...excluded.map(({ task, reasons }) => `${task} is left out: ${reasons.join("; ")}`)];
    return all.length > 0 && el("details", { class: "about" }, el("summary", {}, "About this suite"), el("ul", {}, all.map((one) => el("li", {}, one))));
  };

  const choice = (label, options, chosen, onchange) => {
    const { el } = autoagent;
    return el("select", { "aria-label": label, onchange }, options.map(([value, title]) => el("option", { value, selected: value === chosen }, title)));
  };

  const columns = ({ only }) =>
    autoagent.data.experiments.filter((one) =>
      only === "kept" ? /^(kept|baseline)/.test(one.status) : only === "measured" ? one.door : /[^.]/.test(one.cells));

  const rows = ({ wanted, order }, part) => {
    const { tasks } = autoagent.data;
    const found = tasks.map((name, place) => ({ name, place })).filter(({ name }) => name.toLowerCase().includes(wanted.toLowerCase()));
    const sum = (place, worth) => part.reduce((total, one) => total + worth(one.cells[place]), 0);
    const mean = (place) => sum(place, (c) => rank[c] ?? 0) / Math.max(1, sum(place, (c) => (c === "." ? 0 : 1)));
    const moved = (place) => sum(place, (c) => (GLYPHS[c] ? 1 : 0));
    const byName = (a, b) => a.name.localeCompare(b.name, "en", { numeric: true });
    const keyed = found.map((task) => ({ ...task, key: order === "hard" ? mean(task.place) : order === "moved" ? -moved(task.place) : 0 }));
    return keyed.sort((a, b) => a.key - b.key || byName(a, b));
  };

  const drawn = (part, tasks) => {
    const { el, link, data } = autoagent;
    const head = el(
      "tr",
      {},
      el("th", { scope: "col", class: "corner" }, "Task"),
      part.map((one) =>
        el("th", { scope: "col", class: /^(kept|baseline)/.test(one.status) ? "kept" : "", title: `#${one.n} ${one.status}: ${one.description.slice(0, 120)}` },
          link(["experiments", one.n], one.n))),
    );
    const body = el("tbody", {}, tasks.map((task) => line(task, part)));
    const table = el("table", { class: "grid", onclick: open, onkeydown: move }, el("thead", {}, head), body);
    table.querySelector("td")?.setAttribute("tabindex", "0");
    return table;
  };

  const line = (task, part) => {
    const { el } = autoagent;
    const row = el("tr", {}, el("th", { scope: "row", title: task.name }, task.name));
    for (const one of part) {
      const letter = one.cells[task.place];
      const cell = document.createElement("td");
      cell.className = "cell";
      cell.dataset.c = letter;
      cell.dataset.at = `${one.n} ${task.place}`;
      cell.title = `${task.name}, experiment ${one.n}: ${MEANINGS[letter]}`;
      cell.textContent = GLYPHS[letter] ?? "";
      row.append(cell);
    }
    return row;
  };

  const open = (event) => {
    const at = event.target.closest("td")?.dataset.at;
    if (!at) return;
    const [trial] = autoagent.trialsIn(...at.split(" ").map(Number));
    if (trial) location.hash = autoagent.href(...autoagent.trialRoute(trial));
  };

  /* Arrows move from cell to cell, Enter opens. */
  const move = (event) => {
    const cell = event.target.closest("td");
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") return event.preventDefault(), open(event);
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!steps) return;
    event.preventDefault();
    const row = cell.closest("table").rows[cell.parentNode.rowIndex + steps[0]];
    const next = row?.cells[cell.cellIndex + steps[1]];
    if (!next?.dataset.at) return;
    cell.removeAttribute("tabindex");
    next.setAttribute("tabindex", "0");
    next.focus();
  };

  const drawPager = (bar, end, total, turn) => {
    const { el, add } = autoagent;
    bar.replaceChildren();
    if (total <= COLUMNS) return;
    const first = Math.max(1, end - COLUMNS + 1);
    add(
      bar,
      el("button", { type: "button", disabled: first === 1, onclick: () => turn(end - COLUMNS) }, "‹ Earlier"),
      `${first} to ${end} of ${total} experiments`,
      el("button", { type: "button", disabled: end === total, onclick: () => turn(end + COLUMNS) }, "Later ›"),
    );
  };
}
