"use strict";

/* All experiments: sorted, filtered, searched. */
{
  const KINDS = { "baseline": "good", "kept": "good", "kept (provisional)": "warn", "rolled back": "bad", "crashed": "bad" };

  autoagent.status = (state) => autoagent.el("span", { class: `badge ${KINDS[state] ?? ""}` }, state);

  autoagent.experiments = () => {
    const { el, data, format, link, href, table } = autoagent;
    const rate = (score) => (score && score.trials ? (100 * score.passed) / score.trials : undefined);
    const columns = [
      { id: "n", title: "#", kind: "number", value: (one) => one.n, cell: (one) => link(["experiments", one.n], one.n) },
      { id: "status", title: "Status", value: (one) => one.status, cell: (one) => autoagent.status(one.status) },
      { id: "description", title: "Change", value: (one) => one.description, cell: (one) => el("span", { class: "clamp" }, one.description) },
      { id: "kind", title: "Kind", value: (one) => one.kind_of_change.join(", ") },
      { id: "score", title: "First run", kind: "number", value: (one) => rate(one.door), cell: (one) => one.door && meter(rate(one.door), format.passed(one.door)) },
      { id: "gain", title: "Points, 95 %", kind: "number", value: (one) => one.judgement?.difference_points, cell: (one) => one.judgement && gain(one.judgement) },
      { id: "evidence", title: "Evidence", kind: "number", value: (one) => one.judgement?.evidence, cell: (one) => one.judgement?.evidence.toFixed(1) },
      { id: "moved", title: "Tasks", kind: "number", value: (one) => one.comparison ? one.comparison.solved.length - one.comparison.broken.length : undefined, cell: moved },
      { id: "cost", title: "Cost", kind: "number", value: (one) => one.spent.cost_usd, cell: (one) => format.spent(one.spent) },
      { id: "hours", title: "Time", kind: "number", value: (one) => one.spent.hours, cell: (one) => format.duration(one.spent.hours * 3600) },
    ];
    const search = (one) => [one.n, one.status, one.description, one.reason, one.reflection, ...one.kind_of_change, ...one.cheats, one.commit].join(" ");
    return el(
      "div",
      {},
      el("h1", {}, "Experiments"),
      el("section", {}, table({
        rows: data.experiments,
        columns,
        search,
        sort: [{ id: "n", desc: true }],
        filters: [{ id: "status", title: "any status" }, { id: "kind", title: "any kind" }],
        href: (one) => href("experiments", one.n),
        label: "Experiments",
      })),
    );
  };

  const meter = (points, text) => {
    const { el } = autoagent;
    return el("span", { class: "meter", css: { "--part": points } }, el("i", {}), text);
  };

  const gain = (judged) => {
    const { el, format } = autoagent;
    return [el("strong", {}, format.signed(judged.difference_points)), el("small", { class: "quiet" }, ` ${format.signedInterval([0, judged.low_points, judged.high_points])}`)];
  };

  const moved = (one) => {
    const { el } = autoagent;
    if (!one.comparison) return "";
    return [el("span", { class: "plus" }, `+${one.comparison.solved.length}`), " ", el("span", { class: "minus" }, `−${one.comparison.broken.length}`)];
  };
}
