// What surrounds every page: where one can go, whether the page is live, who is signed in.
import { html, useEffect } from "../vendor/preact.js";
import { get } from "./api.js";
import { link, useAsked } from "./live.js";
import { here, to } from "./router.js";
import { signOut, who } from "./session.js";
import { choose, theme } from "./theme.js";
import { openKeys, openPalette } from "./keys.js";
import { Icon, Mark } from "./ui/icons.js";
import { Menu } from "./ui/menu.js";
import { Button } from "./ui/parts.js";

export const PAGES = [
  ["services", "Services", "s"], ["models", "Models", "m"], ["changes", "Changes", "c"],
  ["activity", "Activity", "a"], ["tokens", "Tokens", "t"], ["system", "System", "y"],
];

const SAID = { live: "Live", connecting: "Connecting…", reconnecting: "Reconnecting…", paused: "Paused" };
const NEXT = { system: "light", light: "dark", dark: "system" };
const THEME = { system: ["screen", "Theme: as the system has it"], light: ["sun", "Theme: light"], dark: ["moon", "Theme: dark"] };

const ThemeButton = () => html`<${Button} look="plain" icon=${THEME[theme.value][0]} name="${THEME[theme.value][1]}. Change" onClick=${() => choose(NEXT[theme.value])} />`;

const more = () => [
  { name: "Go to…", icon: "search", run: openPalette },
  { name: THEME[theme.value][1], icon: THEME[theme.value][0], run: () => choose(NEXT[theme.value]) },
  { name: "The API, described", icon: "book", href: "/docs" },
  { name: "Sign out", icon: "out", run: () => signOut() },
];

export function Shell({ children }) {
  const at = here.value.path[0] || "services";
  const status = useAsked("status", () => get("/v1/status"), { every: 30, on: (event) => /^(service|plan|engine|gateway|store)\./.test(event.kind) });
  const waiting = Object.keys(status.data?.pending || {}).length + (status.data?.held || []).length;
  const name = PAGES.find(([key]) => key === at)?.[1] || "";
  useEffect(() => {
    document.title = [here.value.path[1], name, "Orchestrator"].filter(Boolean).join(" · ");
  }, [here.value]);
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to content</a>
  <div class="shell">
    <header class="side">
      <a class="brand" href=${to("services")}><${Mark} /><span>Orchestrator</span></a>
      <nav class="pages" aria-label="Pages">${PAGES.map(([key, title]) => html`<a href=${to(key)} aria-current=${at === key ? "page" : undefined}>
        <${Icon} name=${key} /><span>${title}</span>${key === "changes" && waiting ? html`<span class="count" title="${waiting} waiting">${waiting}<span class="hidden-text"> waiting</span></span>` : ""}</a>`)}</nav>
      <div class="side-foot">
        <${LinkState} />
        <div class="tools"><${ThemeButton} /><${Button} look="plain" icon="keyboard" name="Keyboard shortcuts" onClick=${openKeys} />
          <${Button} look="plain" icon="out" name="Sign out" onClick=${() => signOut()} /></div>
        <div class="words">${(who.value?.name !== "admin.token" && who.value?.name) || (who.value?.access === "read" ? "Read access" : "Administrator")}${status.data ? html`<br />Version ${status.data.version}` : ""}</div>
      </div>
    </header>
    <div>
      <div class="topbar"><a class="brand" href=${to("services")}><${Mark} /><span>Orchestrator</span></a><${LinkState} /><${Menu} name="More" look="plain" items=${more()} /></div>
      ${link.value === "reconnecting" && html`<div class="away" role="status"><span class="spin" aria-hidden="true"></span>Reconnecting to the daemon. What you see may be old.</div>`}
      ${status.data && !status.data.observed_ok && html`<div class="away" role="status"><${Icon} name="alert" />The ${status.data.runtime} runtime does not answer: what is shown was seen last.</div>`}
      <main class="main" id="main" tabindex="-1">${children}</main>
    </div>
  </div>`;
}

const LinkState = () => html`<span class="link-state" data-state=${link.value} title="Whether what happens arrives here at once">
  <span class="dot" aria-hidden="true"></span><span class="words">${SAID[link.value]}</span></span>`;

/** The head of a page. */
export const Head = ({ title, about, crumbs, actions, after }) => html`<div class="page-head"><div class="words">
  ${crumbs && html`<nav class="crumbs" aria-label="Where this is">${crumbs.map(([name, address]) => html`<a href=${address}>${name}</a><span aria-hidden="true">/</span>`)}</nav>`}
  <div class="service-title"><h1>${title}</h1>${after}</div>${about && html`<p>${about}</p>`}</div>
  ${actions && html`<div class="actions">${actions}</div>`}</div>`;
