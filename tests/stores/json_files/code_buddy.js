// What the Node.js Code Buddy does to a session's folder, no more: its ConversationBranchManager reads every *.json
// there as a branch, and rewrites a branch's file as a whole, pretty-printed, keeping the keys it does not know.
//
// A driver for tests: node code_buddy.js FOLDER, then one command a line as a JSON array, one JSON answer a line. Every
// command loads the folder anew: the programs take turns.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");

class ConversationBranchManager {
  constructor(folder) {
    this.folder = folder;
    this.branches = new Map();
    fs.mkdirSync(folder, { recursive: true });
    for (const file of fs.readdirSync(folder).sort()) {
      if (!file.endsWith(".json")) continue;
      const branch = JSON.parse(fs.readFileSync(path.join(folder, file), "utf8"));
      branch.createdAt = new Date(branch.createdAt);
      branch.updatedAt = new Date(branch.updatedAt);
      this.branches.set(branch.id, branch);
    }
  }

  find(id) {
    const branch = this.branches.get(id);
    if (branch === undefined) throw new Error(`no branch ${id}`);
    return branch;
  }

  save(branch) {
    fs.writeFileSync(path.join(this.folder, `${branch.id}.json`), JSON.stringify(branch, null, 2));
  }

  changed(branch) {
    branch.updatedAt = new Date();
    this.save(branch);
    return branch.messages.length;
  }

  // -- the commands ----------------------------------------------------------------------------------------------

  read() {
    return Object.fromEntries(this.branches);
  }

  put(branch) {
    const at = new Date();
    this.save({ createdAt: at, updatedAt: at, messages: [], ...branch });
  }

  append(id, ...messages) {
    const branch = this.find(id);
    branch.messages.push(...messages);
    return this.changed(branch);
  }

  edit(id, index, message) {
    const branch = this.find(id);
    if (index >= branch.messages.length) throw new Error(`no message ${index}`);
    branch.messages[index] = message;
    return this.changed(branch);
  }

  truncate(id, length) {
    const branch = this.find(id);
    branch.messages = branch.messages.slice(0, length);
    return this.changed(branch);
  }

  touch(id) {
    return this.changed(this.find(id));
  }

  create(id, name, parentId, index) {
    const parent = this.find(parentId);
    const messages = parent.messages.slice(0, index ?? parent.messages.length).map((message) => ({ ...message }));
    const at = new Date();
    this.save({
      id,
      name,
      parentId,
      parentMessageIndex: messages.length,
      messages,
      createdAt: at,
      updatedAt: at,
      metadata: { from: "code-buddy" },
    });
    return messages.length;
  }

  remove(id) {
    this.find(id);
    fs.unlinkSync(path.join(this.folder, `${id}.json`));
  }
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [command, ...args] = JSON.parse(line);
  let answer;
  try {
    answer = { value: new ConversationBranchManager(process.argv[2])[command](...args) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  fs.writeSync(1, `${JSON.stringify(answer)}\n`);
});
