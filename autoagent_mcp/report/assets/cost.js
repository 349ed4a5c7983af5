"use strict";

/* What it cost: by task and by experiment. */
{
  autoagent.cost = () => {
    const { el, data, format, link, href, section, table } = autoagent;
    const tasks = data.tasks.map((name, place) => ({ name, place, trials: 0, passed: 0, counts: 0, tokens: 0, cost: 0, unknown: 0, sec: 0 }));
    for (const trial of data.trials) {
      const task = tasks[trial.task];
      task.trials += 1;
      task.counts += trial.counts;
      task.passed += trial.passed;
      task.tokens += trial.tokens;
      task.sec += trial.duration_sec;
      if (trial.cost_usd === null) task.unknown += 1;
      else task.cost += trial.cost_usd;
    }
    const cost = (one) => format.spent({ cost_usd: one.cost, is_cost_known: !one.unknown });
    const most = Math.max(...tasks.map((task) => task.sec), 1e-9);
    const byTask = table({
      rows: tasks,
      columns: [
        { id: "name", title: "Task", value: (one) => one.name },
        { id: "cost", title: "Cost", kind: "number", value: (one) => one.cost, cell: cost },
        { id: "each", title: "Each trial", kind: "number", value: (one) => one.cost / one.trials, cell: (one) => format.spent({ cost_usd: one.cost / one.trials, is_cost_known: !one.unknown }) },
        { id: "tokens", title: "Tokens", kind: "number", value: (one) => one.tokens, cell: (one) => format.short(one.tokens) },
        { id: "time", title: "Time", kind: "number", value: (one) => one.sec, cell: (one) => el("span", { class: "meter", css: { "--part": (100 * one.sec) / most } }, el("i", {}), format.duration(one.sec)) },
        { id: "trials", title: "Trials", kind: "number", value: (one) => one.trials },
        { id: "rate", title: "Passed", kind: "number", value: (one) => (one.counts ? one.passed / one.counts : undefined), cell: (one) => `${one.passed}/${one.counts}` },
      ],
      sort: [{ id: "cost", desc: true }, { id: "time", desc: true }],
      search: (one) => one.name,
      label: "Cost by task",
    });
    const byExperiment = table({
      rows: data.experiments,
      columns: [
        { id: "n", title: "#", kind: "number", value: (one) => one.n, cell: (one) => link(["experiments", one.n], one.n) },
        { id: "status", title: "Status", value: (one) => one.status, cell: (one) => autoagent.status(one.status) },
        { id: "description", title: "Change", value: (one) => one.description, cell: (one) => el("span", { class: "clamp" }, one.description) },
        { id: "cost", title: "Cost", kind: "number", value: (one) => one.spent.cost_usd, cell: (one) => format.spent(one.spent) },
        { id: "tokens", title: "Tokens", kind: "number", value: (one) => one.spent.tokens, cell: (one) => format.short(one.spent.tokens) },
        { id: "calls", title: "Model calls", kind: "number", value: (one) => one.spent.model_calls, cell: (one) => format.short(one.spent.model_calls) },
        { id: "time", title: "Time", kind: "number", value: (one) => one.spent.hours, cell: (one) => format.duration(one.spent.hours * 3600) },
        { id: "runs", title: "Runs", kind: "number", value: (one) => one.spent.runs },
      ],
      sort: [{ id: "cost", desc: true }, { id: "time", desc: true }],
      filters: [{ id: "status", title: "any status" }],
      href: (one) => href("experiments", one.n),
      label: "Cost by experiment",
    });
    return el("div", {}, el("h1", {}, "Cost"), el("p", { class: "quiet" }, "By task: the trials that ended. By experiment: all model calls of its runs, also of trials that were cancelled or tried again."), section("By task", byTask), section("By experiment", byExperiment));
  };
}
