"use strict";

/* Undo base64 and gzip. */
autoagent.unpack = async (packed) => {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
};

/* Read the data out of the page. */
autoagent.load = () => autoagent.unpack(document.getElementById("data").textContent.trim());

autoagent.take = (data) => {
  const columns = data.trial_columns;
  data.trials = data.trials.map((row) => Object.fromEntries(columns.map((name, place) => [name, row[place]])));
  autoagent.data = data;
  autoagent.cells = null;
};

autoagent.runOf = (trial) => autoagent.data.runs[trial.run];

autoagent.taskOf = (trial) => autoagent.data.tasks[trial.task];

autoagent.findTrial = (run, id) =>
  autoagent.data.trials.find((trial) => trial.id === id && autoagent.runOf(trial).id === run);

/* An experiment's trials of a task, those that say most first: failed ones, then the newest. */
autoagent.trialsIn = (experiment, task) => {
  if (!autoagent.cells) {
    autoagent.cells = new Map();
    for (const trial of autoagent.data.trials) {
      const key = `${trial.experiment} ${trial.task}`;
      if (autoagent.cells.has(key)) autoagent.cells.get(key).push(trial);
      else autoagent.cells.set(key, [trial]);
    }
  }
  const found = autoagent.cells.get(`${experiment} ${task}`) ?? [];
  return [...found].sort((a, b) => b.counts - a.counts || a.passed - b.passed || b.run - a.run);
};

/* What became of a trial, in a word. */
autoagent.outcome = (trial) => (trial.passed ? "passed" : trial.counts ? "failed" : "not measured");

autoagent.trialRoute = (trial) => ["trial", autoagent.runOf(trial).id, trial.id];

/* A trial in a few words, for lists and menus. */
autoagent.trialLabel = (trial) => {
  const run = autoagent.runOf(trial);
  const attempt = trial.id.slice(autoagent.taskOf(trial).length + 2);
  return `experiment ${trial.experiment}, ${run.kind} run ${run.id}, trial ${attempt}: ${autoagent.outcome(trial)}`;
};
