// One conversation with the openai package: node openai.mjs (chat|responses) (plain|streamed); prints what it saw as JSON.
import OpenAI from "openai";

const [wire, mode] = process.argv.slice(2);
const streamed = mode === "streamed";
const client = new OpenAI();
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const described = { name: "weather", parameters, strict: true };
const history = [{ role: "user", content: "How is the weather in Oslo and Lima?" }];
const calls = [];

function run(name, args) {
  calls.push([name, JSON.parse(args)]);
  return `${JSON.parse(args).city}: sunny`;
}

async function chat() {
  const options = { model: "gpt-5", messages: history, tools: [{ type: "function", function: described }] };
  const reply = streamed
    ? await client.chat.completions
        .stream({ ...options, stream_options: { include_usage: true } })
        .finalChatCompletion()
    : await client.chat.completions.create(options);
  const { content, tool_calls: made } = reply.choices[0].message;
  const asked = (made ?? []).map(({ id, type, function: { name, arguments: args } }) => ({ id, type, function: { name, arguments: args } }));
  if (asked.length) history.push({ role: "assistant", content, tool_calls: asked });
  for (const each of asked) {
    history.push({ role: "tool", tool_call_id: each.id, content: run(each.function.name, each.function.arguments) });
  }
  return { text: content, usage: [reply.usage.prompt_tokens, reply.usage.completion_tokens], more: asked.length > 0 };
}

async function responses() {
  const options = { model: "gpt-5", input: history, tools: [{ type: "function", ...described }] };
  const reply = streamed ? await client.responses.stream(options).finalResponse() : await client.responses.create(options);
  const made = reply.output.filter((item) => item.type === "function_call");
  for (const { call_id, name, arguments: args } of made) history.push({ type: "function_call", call_id, name, arguments: args });
  for (const { call_id, name, arguments: args } of made) {
    history.push({ type: "function_call_output", call_id, output: run(name, args) });
  }
  return {
    text: reply.output_text,
    usage: [reply.usage.input_tokens, reply.usage.output_tokens],
    more: made.length > 0,
  };
}

try {
  const turn = { chat, responses }[wire];
  let said = await turn();
  while (said.more) said = await turn();
  console.log(JSON.stringify({ text: said.text, usage: said.usage, calls }));
} catch (error) {
  console.log(JSON.stringify({ error: error.constructor.name, message: error.message }));
}
