// Draws each figure when it comes near the screen: a page may hold many, and some are large.
(() => {
  const draw = (element) => {
    const { data, layout, frames } = JSON.parse(element.querySelector("script").textContent);
    const { width, ...flexible } = layout;
    Plotly.newPlot(element, { data, layout: flexible, frames, config: { responsive: true } });
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      watcher.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "800px" });
  document.querySelectorAll(".plotly-figure").forEach((each) => watcher.observe(each));
})();
