"use strict";

/* Traces lie in scripts beside the page: from a file a page may load nothing else. Each has one call of
   `autoagent.deliver` with packed JSON for each of its trials. */
{
  const KEPT = 6;
  const waiting = new Map();
  const kept = new Map();
  const place = /^traces\/\d+\/\d+\.js$/;
  const check = (url) => {
    if (!place.test(url)) throw new Error("no trace's address");
    return url;
  };
  const policy = window.trustedTypes?.createPolicy("autoagent", { createScriptURL: check }) ?? { createScriptURL: check };

  autoagent.deliver = (name, packed) => waiting.get(name)?.(packed);

  /* Load a trial's trace; fails where its file is not there. */
  autoagent.loadTrace = async (trial) => {
    const run = autoagent.runOf(trial).id;
    const name = `${run}/${trial.id}`;
    if (!kept.has(trial)) {
      kept.set(trial, await autoagent.unpack(await delivered(name, `traces/${run}/${trial.trace}.js`)));
      if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    }
    return kept.get(trial);
  };

  const delivered = (name, url) =>
    new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const end = (how, value) => {
        waiting.delete(name);
        script.remove();
        how(value);
      };
      waiting.set(name, (packed) => end(resolve, packed));
      script.addEventListener("error", () => end(reject, new Error("The file with this trace is not there.")));
      script.addEventListener("load", () => waiting.has(name) && end(reject, new Error("The file has no such trace.")));
      script.src = policy.createScriptURL(url);
      document.head.append(script);
    });
}
