// A chat with a service that speaks OpenAI's language: its models, its words as they come.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { messages } from "../streams.js";
import { Select } from "../ui/fields.js";
import { Button } from "../ui/parts.js";
import { send } from "./try.js";

/** What the service answers at /v1/models; an empty list where it speaks another language. */
export function useModels(one) {
  const [list, set] = useState(null);
  useEffect(() => {
    const control = new AbortController();
    if (!one.healthy) return void set([]);
    send(one, { method: "GET", path: "/v1/models", headers: {} }, control.signal)
      .then(async (answer) => (answer.status === 200 ? JSON.parse(await new Response(answer.body).text()) : {}))
      .then((told) => set((Array.isArray(told.data) ? told.data : []).map((each) => each.id).filter(Boolean)))
      .catch(() => set([]));
    return () => control.abort();
  }, [one.id, one.healthy > 0]);
  return { list };
}

export function Chat({ one, models }) {
  const [model, choose] = useState(models[0]), [said, say] = useState([]), [text, type] = useState(""), [busy, work] = useState(false);
  const control = useRef(null), box = useRef(null), field = useRef(null);
  useEffect(() => { if (box.current) box.current.scrollTop = box.current.scrollHeight; }, [said]);
  useEffect(() => () => control.current?.abort(), []);
  const run = async (event) => {
    event?.preventDefault();
    if (busy) return control.current?.abort();
    const mine = text.trim();
    if (!mine) return undefined;
    const talk = [...said.filter((each) => !each.bad), { role: "user", content: mine }];
    say([...talk, { role: "assistant", content: "" }]);
    type("");
    work(true);
    const own = (control.current = new AbortController());
    const began = performance.now();
    let whole = "", count = 0, first = 0;
    // A new chat was begun meanwhile: what still comes belongs to the old one.
    const still = () => control.current === own;
    const now = (more = {}) => still() && say([...talk, { role: "assistant", content: whole, ...more }]);
    try {
      const answer = await send(one, { method: "POST", path: "/v1/chat/completions", headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
        body: JSON.stringify({ model, messages: talk.map(({ role, content }) => ({ role, content })), stream: true }) }, own.signal);
      if (answer.status !== 200) throw new Error(`${answer.status}: ${(await new Response(answer.body).text()).slice(0, 2000)}`);
      const kind = String(answer.headers["content-type"] || answer.headers["Content-Type"] || "");
      if (kind.includes("json")) {
        const made = JSON.parse(await new Response(answer.body).text());
        whole = made.choices?.[0]?.message?.content ?? JSON.stringify(made);
      } else for await (const one_ of messages({ body: answer.body }, own.signal)) {
        if (one_.data === "[DONE]") break;
        const piece = JSON.parse(one_.data).choices?.[0]?.delta?.content;
        if (!piece) continue;
        first ||= performance.now();
        count += 1;
        whole += piece;
        now();
      }
      const took = (performance.now() - (first || began)) / 1000;
      now({ note: count > 1 && took > 0 ? `${(count / took).toFixed(1)} pieces/s, first after ${((first - began) / 1000).toFixed(2)} s` : "" });
    } catch (error) {
      if (error.name === "AbortError") now({ note: "stopped" });
      else if (still()) say([...talk, ...(whole ? [{ role: "assistant", content: whole }] : []), { role: "assistant", content: error.detail || error.message, bad: true }]);
    }
    work(false);
    field.current?.focus();
    return undefined;
  };
  const key = (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) run(event); };
  return html`<section class="card" aria-label="Chat"><div class="head"><h2>Chat</h2><div style=${{ maxWidth: "300px" }}><${Select} aria-label="Model" value=${model} change=${choose} of=${models.map((each) => [each, each])} /></div>
      <${Button} look="tiny" off=${said.length ? "" : "There is nothing yet."} onClick=${() => { control.current?.abort(); control.current = null; say([]); }}>New chat</${Button}></div>
    <div class="chat"><div class="chat-lines" ref=${box} tabindex="0" role="log" aria-label="What was said">${said.length ? said.map((each, n) => html`<div key=${n} class="said-by ${each.role === "user" ? "me" : ""} ${each.bad ? "bad" : ""}"><span class="hidden-text">${each.role === "user" ? "You" : each.bad ? "Error" : "Model"}: </span><span class=${busy && n === said.length - 1 ? "caret" : ""}>${each.content}</span>${each.note && html`<div class="small quiet">${each.note}</div>`}</div>`)
      : html`<div class="empty"><p>Say something to ${model}. It answers here as it writes.</p></div>`}</div>
    <form class="chat-form" onSubmit=${run}><textarea class="area" ref=${field} rows="1" aria-label="Message" placeholder="Message (Enter sends, Shift+Enter breaks the line)" value=${text} onInput=${(event) => type(event.target.value)} onKeyDown=${key}></textarea>
      <${Button} type="submit" look="first" icon=${busy ? "pause" : "send"}>${busy ? "Stop" : "Send"}</${Button}></form></div></section>`;
}
