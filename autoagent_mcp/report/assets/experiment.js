"use strict";

/* One experiment: what it changed, what it showed, why it was kept or not. */
{
  autoagent.experiment = (number) => {
    const { el, data, format } = autoagent;
    const one = data.experiments[Number(number)];
    if (!one) return el("p", { class: "lead" }, `There is no experiment ${number}.`);
    return el(
      "div",
      {},
      neighbours(one),
      el("h1", {}, `#${one.n} `, autoagent.status(one.status)),
      el("p", { class: "lead" }, one.description),
      autoagent.facts([
        ["Compared with", one.parent !== null && autoagent.link(["experiments", one.parent], `experiment ${one.parent}`)],
        ["Kind of change", one.kind_of_change.join(", ")],
        ["First run", one.door && `${format.passed(one.door)} passed`],
        ["Score", one.decision === "keep" && one.score && `${format.passed(one.score)} passed`],
        ["Cost", `${format.spent(one.spent)}, ${format.duration(one.spent.hours * 3600)}`],
        ["Nodes of code", format.count(one.complexity)],
        ["Began", format.time(one.started_at)],
        ["Decided", format.time(one.decided_at)],
        ["Commit", el("code", {}, one.commit)],
        ["Changed by", author(one.author)],
        ["Decision asked for by", author(one.decided_by)],
      ]),
      flags(one),
      verdict(one),
      words("Lesson", "Reason", one),
      one.reflection && autoagent.section("Reflection", autoagent.text(one.reflection, { kind: "prose" })),
      prediction(one),
      moved(one),
      one.parent !== null && autoagent.section("What it changes", autoagent.diff(data.diffs[one.n])),
      runs(one),
    );
  };

  const neighbours = (one) => {
    const { el, link, data } = autoagent;
    const to = (n, text, key) => data.experiments[n] && autoagent.el("a", { href: autoagent.href("experiments", n), "data-key": key }, text);
    return el("p", { class: "crumbs" }, link(["experiments"], "Experiments"), el("span", {}, to(one.n - 1, `‹ #${one.n - 1}`, "ArrowLeft"), " ", to(one.n + 1, `#${one.n + 1} ›`, "ArrowRight")));
  };

  /* Who did it, as far as the ledger says so. */
  const author = (who) =>
    who && [`${who.client || "unknown client"} ${who.client_version}`.trim(), who.meta_model].filter(Boolean).join(" with ");

  const flags = (one) => {
    const { el, data } = autoagent;
    const notes = data.runs.filter((run) => run.experiment === one.n).flatMap((run) => [...run.notices, run.error]);
    const all = [...new Set([...one.cheats, ...notes])].filter(Boolean);
    return all.length > 0 && el("section", { class: "doubts" }, el("h2", {}, "Flags"), el("ul", {}, all.map((note) => el("li", {}, note))));
  };

  const words = (lesson, reason, one) =>
    one.reason && one.reason !== one.judgement?.reason && autoagent.section(one.decision === "keep" ? reason : lesson, autoagent.text(one.reason, { kind: "prose" }));

  const verdict = (one) => {
    const judged = one.judgement;
    return judged && autoagent.section(`Verdict: ${judged.outcome}`, autoagent.judgement(judged));
  };

  /* What a duel showed: the pairs, the difference with its interval, the evidence. */
  autoagent.judgement = (judged) => {
    const { el, format } = autoagent;
    const { wins, losses, ties } = judged;
    const scale = (points) => 50 + points / 2;
    return el(
      "div",
      { class: "verdict" },
      el("p", {}, judged.reason),
      el(
        "div",
        { class: "pairs", role: "img", "aria-label": `${wins} pairs won, ${ties} tied, ${losses} lost` },
        [["won", wins], ["tied", ties], ["lost", losses]].map(([name, count]) => count > 0 && el("span", { class: name, css: { "flex-grow": count } }, `${count} ${name}`)),
      ),
      el(
        "div",
        { class: "whisker around", role: "img", "aria-label": `${format.signed(judged.difference_points)} points, 95 % interval ${format.signedInterval([0, judged.low_points, judged.high_points])}`, css: { "--low": scale(judged.low_points), "--high": scale(judged.high_points), "--rate": scale(judged.difference_points) } },
        el("i", {}),
        el("b", {}),
      ),
      autoagent.facts([
        ["Difference", `${format.signed(judged.difference_points)} points`],
        ["95 % interval", format.signedInterval([0, judged.low_points, judged.high_points])],
        ["Evidence", judged.evidence.toFixed(1)],
        ["Smallest gain it could show", judged.smallest_effect_points === null ? "none" : `${judged.smallest_effect_points.toFixed(1)} points`],
        ["Trials", judged.trials],
        ["Cost", format.cost(judged.cost_usd)],
      ]),
    );
  };

  const prediction = (one) => {
    const { el, section } = autoagent;
    if (!one.prediction) return false;
    const part = (title, found) =>
      el("div", {}, el("h3", {}, title), autoagent.facts([["Came true", names(one, found.hits)], ["Did not", names(one, found.misses)], ["Not expected", names(one, found.surprises)]]));
    return section("Prediction", el("div", { class: "two" }, part("To become solved", one.prediction.fixed), part("To break", one.prediction.broken)));
  };

  const moved = (one) => {
    const { el, section } = autoagent;
    const found = one.comparison;
    if (!found || !(found.solved.length + found.broken.length)) return false;
    return section("Tasks that changed beside the incumbent", autoagent.facts([["Solved", names(one, found.solved)], ["Broken", names(one, found.broken)]]));
  };

  /* Tasks by name, each a way to its trial. */
  const names = (one, tasks) => {
    const { data, el } = autoagent;
    return tasks.length > 0 && el("ul", { class: "names" }, tasks.map((name) => {
      const [trial] = autoagent.trialsIn(one.n, data.tasks.indexOf(name));
      return el("li", {}, trial ? autoagent.link(autoagent.trialRoute(trial), name) : name);
    }));
  };

  const runs = (one) => {
    const { data, el, section, format } = autoagent;
    const own = data.runs.map((run, place) => ({ ...run, place })).filter((run) => run.experiment === one.n);
    if (!own.length) return false;
    return section("Runs", own.map((run) => {
      const trials = data.trials.filter((trial) => trial.run === run.place);
      const passed = trials.filter((trial) => trial.passed && trial.experiment === one.n).length;
      const title = `Run ${run.id} (${run.kind}, ${run.state}): ${passed} of ${trials.filter((trial) => trial.experiment === one.n).length} passed, ${format.spent(run.spent)}, ${format.duration(run.spent.hours * 3600)}`;
      const box = el("details", { class: "run" }, el("summary", {}, title));
      box.addEventListener("toggle", () => box.open && box.childElementCount === 1 && box.append(trialTable(trials)));
      return box;
    }));
  };

  const trialTable = (rows) => {
    const { format, link, href, table } = autoagent;
    return table({
      rows,
      columns: [
        { id: "id", title: "Trial", value: (one) => one.id, cell: (one) => link(autoagent.trialRoute(one), one.id) },
        { id: "outcome", title: "Outcome", value: autoagent.outcome },
        { id: "cause", title: "Cause", value: (one) => one.cause },
        { id: "flags", title: "Flags", kind: "number", value: (one) => one.flags || undefined, cell: (one) => one.flags || "" },
        { id: "reward", title: "Reward", kind: "number", value: (one) => one.reward ?? undefined },
        { id: "calls", title: "Calls", kind: "number", value: (one) => one.model_calls },
        { id: "tokens", title: "Tokens", kind: "number", value: (one) => one.tokens, cell: (one) => format.short(one.tokens) },
        { id: "cost", title: "Cost", kind: "number", value: (one) => one.cost_usd ?? undefined, cell: (one) => format.cost(one.cost_usd) },
        { id: "time", title: "Time", kind: "number", value: (one) => one.duration_sec, cell: (one) => format.duration(one.duration_sec) },
      ],
      search: (one) => `${one.id} ${one.cause} ${autoagent.outcome(one)}`,
      filters: [{ id: "outcome", title: "any outcome" }],
      href: (one) => href(...autoagent.trialRoute(one)),
      label: "Trials",
    });
  };
}
