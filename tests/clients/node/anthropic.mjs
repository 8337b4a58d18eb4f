// One conversation with @anthropic-ai/sdk: node anthropic.mjs messages (plain|streamed); prints what it saw as JSON.
import Anthropic from "@anthropic-ai/sdk";

const streamed = process.argv[3] === "streamed";
const client = new Anthropic();
const tools = [{ name: "weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];
const history = [{ role: "user", content: "How is the weather in Oslo and Lima?" }];
const calls = [];

async function turn() {
  const options = { model: "claude-sonnet-5", max_tokens: 100, messages: history, tools };
  const message = streamed ? await client.messages.stream(options).finalMessage() : await client.messages.create(options);
  const made = message.content.filter((block) => block.type === "tool_use");
  calls.push(...made.map((block) => [block.name, block.input]));
  if (made.length) {
    history.push({ role: "assistant", content: message.content });
    history.push({
      role: "user",
      content: made.map((block) => ({ type: "tool_result", tool_use_id: block.id, content: `${block.input.city}: sunny` })),
    });
  }
  return {
    text: message.content.map((block) => block.text ?? "").join(""),
    usage: [message.usage.input_tokens, message.usage.output_tokens],
    more: made.length > 0,
  };
}

try {
  let said = await turn();
  while (said.more) said = await turn();
  console.log(JSON.stringify({ text: said.text, usage: said.usage, calls }));
} catch (error) {
  console.log(JSON.stringify({ error: error.constructor.name, message: error.message }));
}
