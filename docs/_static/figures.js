// Draws each figure when it comes near the screen: a page may hold many, and some are large.
(() => {
  // No button that would send data anywhere.
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d"],
  };
  const draw = (element) => {
    const { data, layout, frames } = JSON.parse(element.querySelector("script").textContent);
    const { width, ...flexible } = layout;
    Plotly.newPlot(element, { data, layout: flexible, frames, config });
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      watcher.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "800px" });
  document.querySelectorAll(".plotly-figure").forEach((each) => watcher.observe(each));
})();
