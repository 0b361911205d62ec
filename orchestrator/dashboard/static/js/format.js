// Numbers and times as people read them.
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  let step = 0, left = count;
  while (Math.abs(left) >= 1024 && step < UNITS.length - 1) {
    left /= 1024;
    step += 1;
  }
  return `${step && Math.abs(left) < 100 ? left.toFixed(1) : Math.round(left)} ${UNITS[step]}`;
}

/** Seconds as `3 ms`, `1.2 s`, `4 min`. */
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.001) return value ? "<1 ms" : "0 ms";
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  return span(value);
}

/** A long time in its two largest parts: `2 d 3 h`. */
export function span(value) {
  let left = Math.max(0, Math.round(value));
  const parts = [];
  for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    if (left >= size || (name === "s" && !parts.length)) parts.push(`${Math.floor(left / size)} ${name}`);
    left %= size;
  }
  return parts.slice(0, 2).join(" ");
}

export function rate(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value < 10) return value.toFixed(value < 0.1 ? 2 : 1);
  return whole(Math.round(value));
}

export const whole = (value) => (value ?? 0).toLocaleString("en");
export const percent = (value) => `${(value * 100).toFixed(value && value < 0.1 ? 1 : 0)} %`;
export const cores = (value) => (value === null || value === undefined ? "–" : value < 10 ? value.toFixed(2) : value.toFixed(1));

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });
const whole_time = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** The time of day; with the day, where it was another one. */
export function at(text) {
  if (!text) return "–";
  const time = new Date(text);
  const today = new Date().toDateString() === time.toDateString();
  return today ? clock.format(time) : `${day.format(time)} ${clock.format(time).slice(0, 5)}`;
}
export const full = (text) => (text ? whole_time.format(new Date(text)) : "–");

export function ago(text, now = Date.now()) {
  if (!text) return "never";
  const past = (now - new Date(text)) / 1000;
  if (past < 0) return `in ${span(-past)}`;
  return past < 5 ? "just now" : `${span(past).split(" ").slice(0, 2).join(" ")} ago`;
}

export const plural = (count, one, many = `${one}s`) => `${whole(count)} ${count === 1 ? one : many}`;
