"use strict";

/* Traces lie in scripts of their own beside the page: from a file a page may load nothing else. Each is one call of
   `autoagent.deliver` with packed JSON. */
{
  const KEPT = 6;
  const waiting = new Map();
  const kept = new Map();
  const place = /^traces\/[^/]+\/[^/]+\.js$/;
  const check = (url) => {
    if (!place.test(url)) throw new Error("no trace's address");
    return url;
  };
  const policy = window.trustedTypes?.createPolicy("autoagent", { createScriptURL: check }) ?? { createScriptURL: check };

  autoagent.deliver = (name, packed) => waiting.get(name)?.(packed);

  /* Load a trial's trace; fails where there is none. */
  autoagent.loadTrace = async (run, trial) => {
    const name = `${run}/${trial}`;
    if (!kept.has(name)) {
      const packed = await fetchScript(name, `traces/${encodeURIComponent(run)}/${encodeURIComponent(trial)}.js`);
      kept.set(name, await autoagent.unpack(packed));
      if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    }
    return kept.get(name);
  };

  const fetchScript = (name, url) =>
    new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const end = (how, value) => {
        waiting.delete(name);
        script.remove();
        how(value);
      };
      waiting.set(name, (packed) => end(resolve, packed));
      script.addEventListener("error", () => end(reject, new Error("There is no such file.")));
      script.src = policy.createScriptURL(url);
      document.head.append(script);
    });
}
