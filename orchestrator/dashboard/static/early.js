// Before anything is painted: the theme that was chosen here, so that a dark page never flashes white.
try {
  const chosen = localStorage.getItem("orchestrator.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage in this browser: the system's preference it is
}

// A browser drops what it fetches whenever the machine's network changes, and on a host of containers it does with each
// that starts. A page that lacks a file of its own is loaded again, a few times.
window.addEventListener("error", (event) => {
  const lost = event.target instanceof HTMLScriptElement || (event.target instanceof HTMLLinkElement && event.target.rel === "stylesheet");
  if (!lost) return;
  const key = "orchestrator.loads", tries = Number(sessionStorage.getItem(key) || 0) + 1;
  if (tries > 5) {
    sessionStorage.removeItem(key);
    document.getElementById("app").textContent = "The page could not be loaded whole. Reload it.";
    return;
  }
  sessionStorage.setItem(key, String(tries));
  setTimeout(() => location.reload(), 200 * tries);
}, true);
