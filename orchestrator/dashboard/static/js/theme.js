// Dark or light: as the system has it, until somebody chooses.
import { signal } from "../vendor/preact.js";

export const theme = signal(document.documentElement.dataset.theme || "system");
/** Grows with each change of what is seen: charts draw themselves anew. */
export const painted = signal(0);

export const dark = () =>
  theme.value === "system" ? matchMedia("(prefers-color-scheme: dark)").matches : theme.value === "dark";

export function choose(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try {
    localStorage.setItem("orchestrator.theme", name);
  } catch {
    // for this page only, then
  }
  theme.value = name;
  painted.value += 1;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { painted.value += 1; });

/** A colour of the design as the canvas takes it. */
export function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
