"use strict";

/* Two trials of a task side by side, from where they part. */
{
  autoagent.compare = (...names) => {
    const { el } = autoagent;
    const trials = [autoagent.findTrial(names[0], names[1]), autoagent.findTrial(names[2], names[3])];
    if (trials.some((trial) => !trial)) return el("p", { class: "lead" }, "There is no such trial.");
    const rest = el("div", { "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading the traces …"));
    autoagent.whenTraced(trials[0], rest, (first) =>
      autoagent.whenTraced(trials[1], rest, (second) => rest.replaceChildren(...sides(trials, [first, second]))));
    return el("div", {}, el("h1", {}, `${autoagent.taskOf(trials[0])}: two trials`), rest);
  };

  /* What the agent said and did; not when, not the ids, and not what came of it: that is shown from one step before. */
  const act = (step) =>
    JSON.stringify([step.source, step.message, (step.tool_calls ?? []).map((call) => [call.function_name, call.arguments])]);

  /* The first step in which the two go different ways. What they were told by the harness may differ throughout. */
  const parting = ([first, second]) => {
    const end = Math.min(first.length, second.length);
    const isOther = (place) => (first[place].source === "agent" || second[place].source === "agent") && act(first[place]) !== act(second[place]);
    for (let place = 0; place < end; place++) if (isOther(place)) return place;
    return end;
  };

  const sides = (trials, found) => {
    const { el, format } = autoagent;
    const steps = found.map((one) => autoagent.stepsOf(one.trajectory));
    const place = parting(steps);
    const from = Math.max(0, place - 1);
    const isSame = steps.every((one) => one.length === place);
    const said = isSame ? `All ${format.plural(place, "step")} are the same.` : `The agents part at step ${place + 1}.`;
    const isToldOther = steps[0].slice(0, place).some((step, at) => step.source !== "agent" && act(step) !== act(steps[1][at]));
    const common = el("details", {}, el("summary", {}, `Show ${format.plural(from, "step")} before`));
    common.addEventListener("toggle", () => common.open && common.childElementCount === 1 && common.append(pair(steps.map((one) => autoagent.steps(one.slice(0, from))))));
    return [
      el("p", { class: "lead parting", id: "parting" }, said, isToldOther && " What the harness told them before differs, too."),
      from > 0 && common,
      pair(trials.map((trial, side) => column(trial, found[side], steps[side].slice(from), from))),
    ].filter(Boolean);
  };

  const pair = (columns) => autoagent.el("div", { class: "two sides" }, columns);

  const column = (trial, found, steps, from) => {
    const { el, link, format } = autoagent;
    const tests = found.files.filter((file) => file.path.endsWith("test-stdout.txt") && file.text);
    return el(
      "div",
      {},
      el("h2", {}, link(autoagent.trialRoute(trial), `Experiment ${trial.experiment}, run ${autoagent.runOf(trial).id}`), " ", el("span", { class: `badge ${trial.passed ? "good" : "bad"}` }, autoagent.outcome(trial))),
      el("p", { class: "quiet" }, [trial.cause.replaceAll("_", " "), `reward ${trial.reward ?? "none"}`, format.cost(trial.cost_usd), format.duration(trial.duration_sec)].filter(Boolean).join(" · ")),
      steps.length ? autoagent.steps(steps, { from }) : el("p", { class: "quiet" }, "Nothing more."),
      tests.length > 0 && [el("h3", {}, "What the tests said"), tests.map((file) => autoagent.text(file.text))],
    );
  };
}
