// Only when served: asks whether definitions or readouts have changed, and then shows the page anew.
"use strict";
(() => {
  const root = document.currentScript.dataset.root;
  let version = null;
  async function ask() {
    try {
      const state = await (await fetch(`${root}assets/state.json`, { cache: "no-store" })).json();
      if (version !== null && state.version !== version) { window.location.reload(); return; }
      version = state.version;
      tell(state.problem);
    } catch {
      tell("The server has stopped: this page is no longer kept up to date.");
    }
    window.setTimeout(ask, 2000);
  }
  function tell(problem) {
    let place = document.getElementById("problem");
    if (!problem) { if (place) place.remove(); return; }
    if (!place) {
      place = document.createElement("p");
      place.id = "problem";
      place.setAttribute("role", "status");
      document.body.prepend(place);
    }
    if (place.textContent !== problem) place.textContent = problem;
  }
  ask();
})();
