// What the services carry now, and the last minutes of it, remembered here for the small lines beside their names.
import { useMemo } from "../vendor/preact.js";
import { get } from "./api.js";
import { useAsked } from "./live.js";

const EVERY = 5;
const KEPT = 36;
const past = new Map();
let taken = null;

/** → {by: Map of service to its row of /v1/top, problem, past(name): its latest rates}. */
export function useRates() {
  const { data, problem, loading } = useAsked("top", () => get("/v1/top"), { every: EVERY });
  if (data && data !== taken) {
    taken = data;
    const now = new Set(data.map((one) => one.service));
    for (const name of past.keys()) if (!now.has(name)) past.delete(name);
    for (const one of data) {
      const line = past.get(one.service) || [];
      past.set(one.service, [...line, one.requests_per_second || 0].slice(-KEPT));
    }
  }
  const by = useMemo(() => new Map((data || []).map((one) => [one.service, one])), [data]);
  return { by, problem, loading, past: (name) => past.get(name) || [] };
}
