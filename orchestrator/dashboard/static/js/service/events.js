// What happened to one service.
import { html } from "../../vendor/preact.js";
import { EventBrowser } from "../pages/events.js";

export const ServiceEvents = ({ one }) => html`<${EventBrowser} key=${one.name} service=${one.name} />`;
