// Line drawings of one weight, 24 by 24. They stand beside words, never in place of them.
import { html } from "../../vendor/preact.js";

const DRAWN = {
  services: "M12 3 3 7.500l9 4.500 9-4.500L12 3ZM3 12l9 4.500 9-4.500M3 16.500 12 21l9-4.500",
  models: "M12 3 4 7v10l8 4 8-4V7l-8-4ZM4 7l8 4 8-4M12 11v10",
  changes: "M6 3v12M6 21a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM18 21V9M18 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM13 6h-2M13 18h-2",
  activity: "M3 12h4l3-8 4 16 3-8h4",
  tokens: "M14.500 9.500a5 5 0 1 0-4.300 4.950L12 16h2v2h2v2h4v-3.500l-5.800-5.800c.2-.4.3-.8.3-1.200ZM8 8h.01",
  system: "M4 14a8 8 0 1 1 16 0M12 14l4-4M4 18h16",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM20 20l-4-4",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 3v1.500M12 19.500V21M3 12h1.500M19.500 12H21M5.600 5.600l1.100 1.100M17.300 17.300l1.100 1.100M5.600 18.400l1.100-1.100M17.300 6.700l1.100-1.100",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500Z",
  screen: "M4 5h16v11H4V5ZM9 20h6M12 16v4",
  copy: "M9 9h11v11H9V9ZM5 15H4V4h11v1",
  check: "m5 12.500 4.500 4.500L19 7.500",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  dots: "M5.500 12a.5.5 0 1 1-1 0 .5.5 0 0 1 1 0ZM12.500 12a.5.5 0 1 1-1 0 .5.5 0 0 1 1 0ZM19.500 12a.5.5 0 1 1-1 0 .5.5 0 0 1 1 0Z",
  play: "M8 5.500v13l10-6.500-10-6.500Z",
  pause: "M9 6v12M15 6v12",
  trash: "M4 7h16M10 11v6M14 11v6M6 7l1 13h10l1-13M9 7V4h6v3",
  wrench: "M14.500 6.500a4 4 0 0 1 5.200-1l-2.700 2.700.3 2.500 2.500.3 1.100-1.100a4.500 4.500 0 0 1-6.200 4.600L8 21l-4-4 6.500-6.700a4.500 4.500 0 0 1 4-3.800Z",
  scale: "M4 20V10M10 20V6M16 20v-8M22 20H2M16 8V3M13.500 5.500 16 3l2.500 2.500",
  again: "M20 11a8 8 0 1 0-2.300 6.300M20 5v6h-6",
  back: "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
  up: "M12 16V4M7 9l5-5 5 5M4 20h16",
  down: "M12 4v12M7 11l5 5 5-5M4 20h16",
  file: "M6 3h8l4 4v14H6V3ZM14 3v4h4",
  folder: "M3 6h6l2 2h10v11H3V6Z",
  right: "m9 6 6 6-6 6",
  asc: "m6 15 6-6 6 6",
  desc: "m6 9 6 6 6-6",
  alert: "M12 4 2.500 20h19L12 4ZM12 10v4.500M12 17.500h.01",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 11v5M12 8h.01",
  terminal: "M4 5h16v14H4V5ZM7.500 9.500 10 12l-2.500 2.500M12.500 15H16",
  out: "M15 4h4v16h-4M10 8l-4 4 4 4M6 12h9",
  lock: "M6 11h12v9H6v-9ZM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  globe: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  keyboard: "M3 6h18v12H3V6ZM7 10h.01M11 10h.01M15 10h.01M8 14h8",
  send: "M5 12 4 4l17 8-17 8 1-8Zm0 0h8",
  book: "M5 4h6a1 1 0 0 1 1 1v15a2 2 0 0 0-2-2H5V4ZM19 4h-6a1 1 0 0 0-1 1v15a2 2 0 0 1 2-2h5V4Z",
};

export const Icon = ({ name }) => html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8"
  stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${DRAWN[name]} /></svg>`;

export const Mark = () => html`<svg viewBox="0 0 32 32" aria-hidden="true" class="mark"><rect width="32" height="32" rx="8" fill="#3b52d9" />
  <g fill="#fff"><circle cx="9.500" cy="16" r="3.200" /><circle cx="22.500" cy="8.500" r="2.600" /><circle cx="22.500" cy="16" r="2.600" /><circle cx="22.500" cy="23.500" r="2.600" /></g>
  <path d="M12.500 16h7M12.200 14.600c3-1.300 4.300-3.800 7.800-5.600M12.200 17.400c3 1.300 4.300 3.800 7.800 5.600" fill="none" stroke="#fff" stroke-width="1.600" stroke-linecap="round" /></svg>`;
