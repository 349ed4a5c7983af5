"use strict";

/* One trial: what came of it, its trace step by step, what the tests said, its files. */
{
  autoagent.trial = (run, id) => {
    const { el } = autoagent;
    const trial = autoagent.findTrial(run, id);
    if (!trial) return el("p", { class: "lead" }, `There is no trial ${id} of run ${run}.`);
    const rest = el("div", { "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading the trace …"));
    autoagent.whenTraced(trial, rest, (found) => rest.replaceChildren(...detail(trial, found)));
    return el("div", {}, head(trial), rest);
  };

  /* Load a trial's trace, and say in `box` why where that cannot be done. */
  autoagent.whenTraced = async (trial, box, then) => {
    const { el } = autoagent;
    try {
      if (trial.trace === null) throw new Error("This trial's trace is not on disk any more; its score is in the ledger.");
      then(await autoagent.loadTrace(trial));
    } catch (error) {
      const hint = trial.trace !== null ? " The folder “traces” has to lie beside this page: it may not have been sent along." : "";
      box.replaceChildren(el("p", { class: "doubts" }, `${error.message}${hint}`));
    }
    box.setAttribute("aria-busy", "false");
  };

  const head = (trial) => {
    const { el, link, data, format } = autoagent;
    const run = autoagent.runOf(trial);
    const task = autoagent.taskOf(trial);
    const others = autoagent.trialsIn(trial.experiment, trial.task);
    return el(
      "div",
      {},
      el("p", { class: "crumbs" }, el("span", {}, link(["tasks"], "Tasks"), " › ", link(["experiments", trial.experiment], `Experiment ${trial.experiment}`), ` › run ${run.id}`), compareMenu(trial)),
      el("h1", {}, `${task} `, el("span", { class: `badge ${trial.passed ? "good" : trial.counts ? "bad" : ""}` }, autoagent.outcome(trial))),
      autoagent.facts([
        ["Trial", el("code", {}, trial.id)],
        ["Harness of", [link(["experiments", trial.experiment], `experiment ${trial.experiment}`), ` (${data.experiments[trial.experiment].status})`]],
        ["Reward", trial.reward ?? "none"],
        ["Failure", trial.cause.replaceAll("_", " ")],
        ["Model calls", trial.model_calls],
        ["Commands", trial.commands],
        ["Tokens", format.count(trial.tokens)],
        ["Cost", format.cost(trial.cost_usd)],
        ["Time", format.duration(trial.duration_sec)],
      ]),
      others.length > 1 && el(
        "p",
        { class: "siblings" },
        "This task here: ",
        others.slice(0, 40).map((one) => el("a", { href: autoagent.href(...autoagent.trialRoute(one)), class: `chip ${autoagent.outcome(one).split(" ")[0]}`, "aria-current": one === trial && "page", title: autoagent.trialLabel(one) }, `${autoagent.runOf(one).id}/${one.id.slice(task.length + 2)}`)),
      ),
    );
  };

  /* Other trials of the same task to put beside this one; those with another outcome first. */
  const compareMenu = (trial) => {
    const { el, data } = autoagent;
    const others = data.trials.filter((one) => one.task === trial.task && one !== trial && one.trace !== null);
    if (!others.length || trial.trace === null) return false;
    const isOther = (one) => (one.passed === trial.passed ? 1 : 0);
    const sorted = others.sort((a, b) => isOther(a) - isOther(b) || Math.abs(a.experiment - trial.experiment) - Math.abs(b.experiment - trial.experiment));
    const chosen = (event) => {
      const one = sorted[event.target.value];
      if (one) location.hash = autoagent.href("compare", autoagent.runOf(trial).id, trial.id, autoagent.runOf(one).id, one.id);
    };
    return el(
      "select",
      { class: "compare", "aria-label": "Compare with another trial of this task", onchange: chosen },
      el("option", { value: "" }, "Compare with …"),
      sorted.slice(0, 300).map((one, place) => el("option", { value: place }, autoagent.trialLabel(one))),
    );
  };

  const detail = (trial, found) => {
    const { el, section, format } = autoagent;
    const whole = found.trial;
    const steps = autoagent.stepsOf(found.trajectory);
    const files = found.files;
    const isTests = (file) => /(^|\/)verifier\//.test(file.path);
    const isLog = (file) => file.path.endsWith("harness.log");
    const began = steps.find((step) => step.timestamp)?.timestamp ?? whole.started_at;
    return [
      whole.failure && el("p", { class: "doubts" }, `${whole.failure.cause.replaceAll("_", " ")}${whole.failure.detail ? `: ${whole.failure.detail}` : ""}`),
      ...[...whole.cheats, ...whole.notices].map((note) => el("p", { class: "doubts" }, note)),
      whole.retried && el("p", { class: "doubts" }, `The first try measured nothing: ${whole.retried.cause.replaceAll("_", " ")}. ${whole.retried.detail}`),
      autoagent.facts([
        ["Phases", Object.entries(whole.phases_sec).map(([name, sec]) => `${name} ${format.duration(sec)}`).join(", ")],
        ["Rewards", Object.keys(whole.rewards).length > 1 && Object.entries(whole.rewards).map(([name, value]) => `${name} ${value}`).join(", ")],
        ["Judge", whole.judge_usage.model_calls > 0 && `${format.plural(whole.judge_usage.model_calls, "call")}, ${format.cost(whole.judge_usage.cost_usd)}`],
        ["Began", format.time(whole.started_at)],
      ]),
      section(`Trace: ${format.plural(steps.length, "step")}`, steps.length ? autoagent.steps(steps, { began }) : el("p", { class: "quiet" }, "No trace was written.")),
      section("What the tests said", files.filter(isTests).map((file) => fileBox(file, true))),
      section("What the harness printed", files.filter(isLog).map((file) => fileBox(file, file.size > 0))),
      section("Files", files.filter((file) => !isTests(file) && !isLog(file)).map((file) => fileBox(file, false))),
    ].filter((part) => part && !(part.tagName === "SECTION" && part.childElementCount === 1));
  };

  const fileBox = (file, isOpen) => {
    const { el, format } = autoagent;
    const box = el("details", { class: "file-box", open: isOpen }, el("summary", {}, el("code", {}, file.path), el("span", { class: "quiet" }, ` ${format.bytes(file.size)}`)));
    const fill = () => box.open && box.childElementCount === 1 && box.append(file.text === null ? el("p", { class: "quiet" }, "Not shown: no text, or too long.") : autoagent.text(file.text));
    box.addEventListener("toggle", fill);
    fill();
    return box;
  };
}
