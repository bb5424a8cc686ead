// Run by Node with the published TypeScript client: one scene, its outcome as JSON on stdout.
import { pathToFileURL } from "node:url";

const [scene, folder, program, home, work, text] = process.argv.slice(2);
const given = JSON.parse(text);
const found = `${folder}/node_modules/@openai/codex-sdk/dist/index.js`;
const { Codex } = await import(pathToFileURL(found).href);
const codex = new Codex({ codexPathOverride: program, env: { ...process.env, OCTAVO_HOME: home } });
const options = { workingDirectory: work, skipGitRepoCheck: true, sandboxMode: "workspace-write" };
const shown = (turn) => ({ final: turn.finalResponse, items: turn.items.map((item) => item.type), tokens: turn.usage?.input_tokens });

const scenes = {
  async run() {
    const thread = codex.startThread(options);
    const turns = [shown(await thread.run("hello")), shown(await thread.run("again"))];
    return { id: thread.id, turns };
  },
  async stream() {
    const { events } = await codex.startThread(options).runStreamed("hello");
    const kinds = [];
    for await (const event of events) kinds.push(event.type);
    return kinds;
  },
  async resume() {
    const thread = codex.resumeThread(given.thread, options);
    return { id: thread.id, final: (await thread.run("third")).finalResponse };
  },
  async picture() {
    const parts = [{ type: "text", text: "what is it?" }, { type: "local_image", path: given.picture }];
    return (await codex.startThread(options).run(parts)).finalResponse;
  },
  async structured() {
    const outputSchema = { type: "object", properties: { a: { type: "string" } }, required: ["a"], additionalProperties: false };
    return JSON.parse((await codex.startThread(options).run("x", { outputSchema })).finalResponse);
  },
  async interrupt() {
    const stop = new AbortController();
    const { events } = await codex.startThread(options).runStreamed("go", { signal: stop.signal });
    try {
      for await (const event of events) if (event.type === "item.started") stop.abort();
    } catch (error) {
      return { stopped: true };
    }
    return { stopped: false };
  },
  async failure() {
    try {
      return shown(await codex.startThread(options).run("go"));
    } catch (error) {
      return { error: error.message };
    }
  },
};
console.log(JSON.stringify(await scenes[scene]()));
