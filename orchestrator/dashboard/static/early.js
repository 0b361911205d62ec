// Before anything is painted: the theme that was chosen here, so that a dark page never flashes white.
try {
  const chosen = localStorage.getItem("orchestrator.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage in this browser: the system's preference it is
}
