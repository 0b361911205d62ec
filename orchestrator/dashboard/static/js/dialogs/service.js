// What can be done with one service, each in a dialog of its own.
import { html, useState } from "../../vendor/preact.js";
import { del, post, put, service as of } from "../api.js";
import { go, here, to } from "../router.js";
import { Form, show } from "../ui/dialog.js";
import { Field, Input } from "../ui/fields.js";
import { Button, sentence } from "../ui/parts.js";
import { tell } from "../ui/toast.js";
import { confirm } from "./confirm.js";
import { modify } from "./launch.js";

export const modifyService = modify;
export const scaleService = (one) => show((close) => html`<${Scale} close=${close} one=${one} />`);

function Scale({ close, one }) {
  const [text, type] = useState(String(one.desired_routing_count));
  const count = Number(text), fine = /^\d+$/.test(text.trim());
  const reset = one.override_desired !== null && one.override_desired !== undefined;
  const step = (by) => type(String(Math.max(0, (fine ? count : 0) + by)));
  const submit = async () => {
    await put(of(one.id || one.name, "/scale"), { count });
    tell(`${one.name}: ${count} wanted`);
  };
  const back = async () => {
    try {
      await put(of(one.id || one.name, "/scale"), { count: null });
      tell(`${one.name}: as its file says`);
      close();
    } catch (problem) {
      tell(sentence(problem.detail), "bad");
    }
  };
  return html`<${Form} title="Scale ${one.name}" close=${close} submit=${submit} done="Scale" off=${fine ? "" : "Give a whole number from 0."}
      left=${reset && html`<${Button} look="plain" changes onClick=${back}>Back to the file’s ${one.desired_in_file}</${Button}>`}>
    ${({ wrong }) => html`<${Field} label="Routings wanted" wrong=${fine ? wrong.count : "A whole number from 0."} hint=${count === 0 && fine ? "With 0 it is stopped: requests get 503 until it is scaled up again." : `${one.healthy} of ${one.desired_routing_count} are healthy now.${one.source === "folder" ? " This overrides the file until its count changes." : ""}`}>
      <${Stepper} text=${text} type=${type} step=${step} /></${Field}>`}</${Form}>`;
}

const Stepper = ({ text, type, step, ...rest }) => html`<div class="row"><${Button} icon="minus" name="One fewer" onClick=${() => step(-1)} />
  <${Input} inputmode="numeric" value=${text} change=${type} data-first ...${rest} /><${Button} icon="plus" name="One more" onClick=${() => step(1)} /></div>`;

export const terminateService = (one) => confirm({
  title: `Terminate ${one.name}`, done: "Terminate", risky: true, type: one.name,
  text: "Its routings are drained and ended, and its tokens are revoked. The model folder stays as it is.",
  children: one.source === "folder" && html`<p class="quiet">Its folder keeps the definition. The service stays away until it is started again or the definition changes.</p>`,
  run: async () => {
    await del(of(one.id || one.name));
    tell(`${one.name} is being terminated`);
    if (here.value.path[1] === one.name) go(to("services"));
  },
});

export async function retryService(one) {
  try {
    await post(of(one.id || one.name, "/retry"));
    tell(`${one.name}: errors cleared, trying again`);
  } catch (problem) {
    tell(sentence(problem.detail), "bad");
  }
}

export const restartHeld = (one) => confirm({
  title: `Let the removal of ${one.name} go on`, done: "Remove it", risky: true, text: sentence(one.held),
  run: async () => {
    await post("/v1/removals/confirm", { service: one.name });
    tell(`${one.name} is being removed`);
  },
});

export const resetOverrides = (one) => confirm({
  title: `Reset ${one.name} to its file`, done: "Reset", text: `What was changed here ends: ${Object.keys(one.overrides).join(", ")}. The definition in its folder counts again.`,
  run: async () => {
    await post(of(one.id || one.name, "/reset"), {});
    tell(`${one.name}: as its file says`);
  },
});
