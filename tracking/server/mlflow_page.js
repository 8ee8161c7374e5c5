// Run before MLflow's own script. MLflow takes an experiment for one of agents and opens it on an empty overview of traces,
// and it unfolds an assistant, which is closed here. Whoever has chosen otherwise on the page is left their choice.
(() => {
  const workflow = "mlflow.workflowType_v1";
  const keep = (key, value) => localStorage.getItem(key) ?? localStorage.setItem(key, value);
  keep(workflow, '"machine_learning"');
  keep("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");

  const chosen = () => localStorage.getItem(workflow) === '"machine_learning"';
  const experimentOf = (hash) => (chosen() && /^#\/experiments\/(\d+)$/.exec(hash)?.[1]) || null;

  async function addressOf(experiment) {
    const runs = `#/experiments/${experiment}/runs?workflowType=machine_learning`;
    try {
      const answer = await fetch(`ajax-api/2.0/mlflow/experiments/get?experiment_id=${experiment}`);
      const tags = (await answer.json()).experiment.tags ?? [];
      return tags.some(({ key }) => key === "mlflow.sharedViewState.dn-methods") ? `${runs}&viewStateShareKey=dn-methods` : runs;
    } catch {
      return runs; // MLflow's own page says what is wrong
    }
  }

  async function replace() {
    const experiment = experimentOf(location.hash);
    if (experiment) location.replace(await addressOf(experiment));
  }
  replace();
  addEventListener("hashchange", replace);

  document.addEventListener(
    "click",
    async (event) => {
      const link = event.target.closest("a[href]");
      const experiment = link && !link.target && experimentOf(link.hash);
      if (!experiment || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      location.assign(await addressOf(experiment));
    },
    true,
  );
})();
