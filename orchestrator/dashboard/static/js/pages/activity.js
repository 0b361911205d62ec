// What happened, who asked for it, who used what.
import { html } from "../../vendor/preact.js";
import { Tabs, to } from "../router.js";
import { Head } from "../shell.js";
import { Audit } from "./audit.js";
import { EventBrowser } from "./events.js";
import { Usage } from "./usage.js";

const TABS = [["events", "Events", EventBrowser], ["audit", "Audit log", Audit], ["usage", "Usage", Usage]];

export function Activity({ tab = "events" }) {
  const [, , View] = TABS.find(([key]) => key === tab) || TABS[0];
  return html`<${Head} title="Activity" about="What happened, who asked for it, who used what." />
    <${Tabs} label="Kinds of activity" tabs=${TABS.map(([key, name]) => [name, key === "events" ? to("activity") : to("activity", key), key === tab])} /><${View} key=${tab} />`;
}
