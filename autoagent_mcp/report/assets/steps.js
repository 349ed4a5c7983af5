"use strict";

/* A trace's steps (ATIF), as cards. */
{
  const SHOWN = 40;
  const USUAL = new Set([undefined, "stop", "tool_calls", "end_turn", "tool_use", "completed"]);

  /* The main conversation's steps and those of its sub-agents, which say where they come from. */
  autoagent.stepsOf = (trajectory) => [
    ...(trajectory?.steps ?? []),
    ...(trajectory?.subagent_trajectories ?? []).flatMap((sub) => sub.steps.map((step) => ({ ...step, sub: sub.trajectory_id }))),
  ];

  autoagent.steps = (steps, { from = 0, began } = {}) => {
    const { el } = autoagent;
    const box = el("div", { class: "steps" });
    const show = (start) => {
      box.append(...steps.slice(start, start + SHOWN).map((step, place) => card(step, from + start + place + 1, began)));
      const left = steps.length - start - SHOWN;
      if (left > 0) {
        const more = el("button", { type: "button", onclick: () => (more.remove(), show(start + SHOWN)) }, `Show ${Math.min(SHOWN, left)} more of ${left} steps`);
        box.append(more);
      }
    };
    show(0);
    return box;
  };

  const card = (step, number, began) => {
    const { el } = autoagent;
    const error = step.extra?.error;
    return el(
      "article",
      { class: `step ${step.source}${error ? " failed" : ""}`, id: `step-${number}` },
      el("header", {}, el("strong", {}, number), el("span", { class: "source" }, step.sub ? `${step.source} (${step.sub})` : step.source), el("span", { class: "quiet" }, metrics(step, began))),
      step.reasoning_content && el("details", { class: "reasoning", open: true }, el("summary", {}, "Reasoning"), autoagent.text(plain(step.reasoning_content), { kind: "prose" })),
      step.message && autoagent.text(plain(step.message), { kind: "prose" }),
      error && el("p", { class: "error" }, plain(error)),
      (step.tool_calls ?? []).map(call),
      (step.observation?.results ?? []).map(result),
      (step.extra?.execs ?? []).map(exec),
    );
  };

  const plain = (content) =>
    typeof content === "string" ? content
      : Array.isArray(content) ? content.map((part) => part?.text ?? JSON.stringify(part)).join("\n")
        : JSON.stringify(content, null, 1);

  const metrics = (step, began) => {
    const { format } = autoagent;
    const found = step.metrics ?? {};
    const at = step.timestamp && began ? (new Date(step.timestamp) - new Date(began)) / 1000 : null;
    return [
      at !== null && at >= 0 && `at ${format.duration(at)}`,
      found.prompt_tokens !== undefined && `${format.short(found.prompt_tokens)} in, ${format.short(found.completion_tokens ?? 0)} out`,
      found.cached_tokens ? `${format.short(found.cached_tokens)} cached` : "",
      found.cost_usd !== undefined && format.cost(found.cost_usd),
      !USUAL.has(step.extra?.finish_reason) && plain(step.extra.finish_reason),
      step.extra?.note && plain(step.extra.note),
    ].filter(Boolean).join(" · ");
  };

  const call = (one) => {
    const { el } = autoagent;
    const values = one.arguments && typeof one.arguments === "object" ? Object.entries(one.arguments) : [["", one.arguments]];
    return el(
      "div",
      { class: "call" },
      el("h4", {}, "▸ ", el("code", {}, one.function_name)),
      values.map(([name, value]) => el("div", { class: "argument" }, name && values.length > 1 && el("small", { class: "quiet" }, name), autoagent.text(plain(value)))),
    );
  };

  const result = (one) => {
    const { el } = autoagent;
    const about = one.extra?.command !== undefined && [el("code", {}, one.extra.command), outcome(one.extra)];
    if (one.content === undefined && !about) return false;
    return el("div", { class: "result" }, about && el("p", { class: "quiet" }, about), one.content !== undefined && autoagent.text(plain(one.content)));
  };

  const outcome = (facts) => {
    const { format } = autoagent;
    return [
      facts.return_code !== undefined && ` exit ${facts.return_code}`,
      facts.timed_out && " timed out",
      facts.duration_sec !== undefined && ` ${format.duration(facts.duration_sec)}`,
      facts.error && ` ${plain(facts.error)}`,
    ].filter(Boolean).join(",");
  };

  const exec = (facts) => {
    const { el } = autoagent;
    return el(
      "details",
      { class: "exec" },
      el("summary", {}, el("code", {}, `${facts.kind === "exec" ? "$" : facts.kind} ${facts.command.slice(0, 200)}`), el("span", { class: facts.return_code ? "minus" : "quiet" }, outcome(facts))),
      facts.command.length > 200 && autoagent.text(facts.command),
      facts.stdout && autoagent.text(plain(facts.stdout)),
      facts.stderr && [el("small", { class: "quiet" }, "stderr"), autoagent.text(plain(facts.stderr))],
    );
  };
}
