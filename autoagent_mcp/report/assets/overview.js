"use strict";

/* The first screen: what was gained, whether to believe it, what it cost. */
{
  autoagent.overview = () => {
    const { el, data } = autoagent;
    const { headline } = data;
    const heading = el("h1", { class: "away" }, `Report of ${data.workspace}`);
    if (!headline.baseline) return el("div", {}, heading, el("p", { class: "lead" }, "There is no baseline yet."), notices(), numbers());
    return el("div", {}, heading, hero(), numbers(), notices(), progress(), kept(), winner());
  };

  const hero = () => {
    const { el, data, format, link } = autoagent;
    const { baseline, incumbent, gain } = data.headline;
    const isSame = gain === null;
    return el(
      "section",
      { class: "hero" },
      el(
        "div",
        {},
        el("p", { class: "lead" }, isSame ? "Nothing was kept yet" : "Gained over the baseline"),
        el(
          "p",
          { class: "gain" },
          isSame ? format.percent(baseline.interval[0]) : [format.signed(gain.interval[0]), el("small", {}, " points")],
        ),
        !isSame && el("p", { class: "quiet" }, `95 % interval ${format.signedInterval(gain.interval)}, ${how(gain)}`),
        el("p", {}, badge(incumbent, isSame), " ", hidden(data.headline.hidden)),
      ),
      el(
        "div",
        { class: "sides" },
        side("Baseline", baseline, "before"),
        !isSame && side(["Incumbent ", link(["experiments", incumbent.n], `#${incumbent.n}`)], incumbent, "now"),
        el("div", { class: "scale", "aria-hidden": "true" }, [0, 25, 50, 75, 100].map((at) => el("span", {}, `${at} %`))),
      ),
    );
  };

  const how = (gain) =>
    gain.how === "pairs" ? `from pairs side by side (run ${gain.run}, evidence ${gain.evidence.toFixed(1)})` : "from the two scores";

  const badge = (incumbent, isSame) => {
    const { el } = autoagent;
    if (isSame) return el("span", { class: "badge" }, "baseline only");
    if (!incumbent.is_judged) return el("span", { class: "badge warn" }, "◐ decided by one run");
    return incumbent.is_provisional
      ? el("span", { class: "badge warn" }, "◐ provisional")
      : el("span", { class: "badge good" }, "✓ confirmed");
  };

  const hidden = (bit) => {
    const { el } = autoagent;
    const said = {
      "none": ["", "no hidden tasks"],
      "veto": ["bad", "✗ vetoed by the hidden tasks last"],
      "worse": ["bad", "✗ worse on the hidden tasks"],
      "no veto": ["good", "✓ hidden tasks: not worse"],
      "not asked": ["", "hidden tasks not asked yet"],
    };
    return el("span", { class: `badge ${said[bit][0]}` }, said[bit][1]);
  };

  const side = (title, one, kind) => {
    const { el, format } = autoagent;
    const [rate, low, high] = one.interval;
    return el(
      "div",
      { class: `side ${kind}` },
      el("div", { class: "row" }, el("span", {}, title), el("strong", {}, format.percent(rate))),
      el(
        "div",
        { class: "whisker", role: "img", "aria-label": `${rate.toFixed(1)} %, 95 % interval ${format.interval(one.interval)}`, css: { "--low": low, "--high": high, "--rate": rate } },
        el("i", {}),
        el("b", {}),
      ),
      el("p", { class: "quiet" }, `${one.passed} of ${one.trials} trials passed, 95 % interval ${format.interval(one.interval)} %`),
    );
  };

  const numbers = () => {
    const { el, data, format } = autoagent;
    const { counts, spent } = data.headline;
    const kept = (counts.kept ?? 0) + (counts["kept (provisional)"] ?? 0);
    const tried = data.experiments.length - (counts.baseline ?? 0);
    const limit = (value, text) => (value ? ` of ${text(value)}` : "");
    return el(
      "section",
      { class: "numbers", "aria-label": "Numbers" },
      figure(format.count(tried), "changes tried", `${kept} kept, ${counts["rolled back"] ?? 0} rolled back`),
      figure(format.spent(spent), "spent", `${format.short(spent.tokens)} tokens${limit(data.budget.max_cost_usd, format.cost)}`),
      figure(format.duration(spent.hours * 3600), "of runs", `${format.plural(spent.runs, "run")}${limit(data.budget.max_hours, (h) => `${h} h`)}`),
      figure(format.count(data.trials.length), "trials", `${format.plural(data.tasks.length, "task")}`),
    );
  };

  const figure = (value, title, more) => {
    const { el } = autoagent;
    return el("div", { class: "figure" }, el("strong", {}, value), el("span", {}, title), el("small", { class: "quiet" }, more));
  };

  const notices = () => {
    const { el, data, link } = autoagent;
    const going = data.runs.filter((run) => run.is_going_on).map((run) => [autoagent.follow ? `Run ${run.id} (${run.kind}) goes on: ` : `Run ${run.id} (${run.kind}) had not ended when this page was written: `, link(["experiments", run.experiment], `experiment ${run.experiment}`), "."]);
    const review = data.headline.review ? [`Review, run ${data.headline.review.run}: ${data.headline.review.figures}. ${data.headline.review.believed.join(" ")}`] : [];
    const all = [...review, ...(data.headline.doubts ?? []), ...data.notices, ...going];
    return all.length > 0 && el("section", { class: "doubts" }, el("h2", {}, "To know before you believe it"), el("ul", {}, all.map((one) => el("li", {}, one))));
  };

  const progress = () => autoagent.section("Progress", autoagent.chart());

  const KEPT_SHOWN = 8;

  /* What became the incumbent, newest first. */
  const kept = () => {
    const { el, data, section } = autoagent;
    const rows = data.reigns.filter(([n], place) => n !== data.baseline || place > 0).reverse();
    if (!rows.length) return false;
    const view = autoagent.memory("kept", { shown: KEPT_SHOWN });
    const list = el("ol", { class: "kept" }, rows.slice(0, view.shown).map(reign));
    const showAll = () => (more.remove(), (view.shown = Infinity), list.append(...rows.slice(KEPT_SHOWN).map(reign)));
    const more = el("button", { type: "button", onclick: showAll }, `Show all ${rows.length}`);
    return section("What was kept", list, rows.length > view.shown && more);
  };

  const reign = ([n, , since]) => {
    const { el, data, format, link } = autoagent;
    const one = data.experiments[n];
    const judged = one.judgement;
    return el(
      "li",
      {},
      link(["experiments", n], `#${n}`),
      el("div", {}, el("p", {}, n === data.baseline ? "Back to the baseline" : one.description), el("p", { class: "quiet" }, format.time(since))),
      el(
        "div",
        { class: "right" },
        one.interval && el("strong", {}, format.percent(one.interval[0])),
        judged && el("small", { class: "quiet" }, `${format.signed(judged.difference_points)} points (${format.signedInterval([0, judged.low_points, judged.high_points])})`),
        autoagent.status(one.status),
      ),
    );
  };

  const winner = () => {
    const { data, el, section } = autoagent;
    if (!("winner" in data.diffs)) return false;
    return section(
      "What the winning harness does differently",
      el("p", { class: "quiet" }, `From the baseline to experiment ${data.incumbent}.`),
      autoagent.diff(data.diffs.winner),
    );
  };
}
