// What the services carry now, and the last minutes of it, remembered here for the small lines beside their names.
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
    for (const one of data) {
      const line = past.get(one.service) || [];
      past.set(one.service, [...line, one.requests_per_second || 0].slice(-KEPT));
    }
  }
  return { by: new Map((data || []).map((one) => [one.service, one])), problem, loading, past: (name) => past.get(name) || [] };
}
